"""The two objectives: what is left of their budgets, and how fast it goes."""

from monitoring.grafana.boards.common import ALERTS, LOGS, TRACES
from monitoring.grafana.panels import GREEN, RED, YELLOW, Board, Graph, Number, Query

_NAMES = {
    "answered": ("answered", "99.5% of the executions are answered."),
    "in_time": ("answered in time", "95% of the answers take at most 0.5 s more than the code ran."),
}
_WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d")


def _left(slo: str) -> Number:
    name, objective = _NAMES[slo]
    return Number(
        f"Budget left: {name}",
        f"{objective} What is left of the failures that this allows in 14 days.",
        "percentunit",
        Query(f'slo:budget_left:14d{{slo="{slo}"}}'),
        [(0, YELLOW), (0.25, GREEN)],
        good=RED,
        width=6,
        decimals=0,
    )


def _now(slo: str) -> Number:
    name, objective = _NAMES[slo]
    return Number(
        f"Burn rate: {name}",
        f"{objective} 1 spends exactly the budget; 6.72 for an hour is an alert.",
        "short",
        Query(f'slo:burn:1h{{slo="{slo}"}}'),
        [(1, YELLOW), (6.72, RED)],
        width=6,
        decimals=2,
    )


def _burn(slo: str) -> Graph:
    name, objective = _NAMES[slo]
    return Graph(
        f"Burn rate by window: {name}",
        f"{objective} Alerts: 6.72 over 1h and 5m, 2.8 over 6h and 30m, 1.4 over 1d and 2h.",
        "short",
        [Query(f'slo:burn:{window}{{slo="{slo}"}}', window) for window in _WINDOWS],
        width=12,
        levels=[(1.4, YELLOW), (6.72, RED)],
        links=[TRACES, LOGS],
    )


BOARD = Board(
    "slos",
    "SLOs",
    "Whether the platform keeps its two promises: executions are answered, and answered in time.",
    {
        "Now": [_left("answered"), _left("in_time"), _now("answered"), _now("in_time")],
        "How fast the budget goes": [_burn("answered"), _burn("in_time")],
        "What it is made of": [
            Graph(
                "Asked for and failed",
                "Executions a second: all, and those that a fault of ours has ended.",
                "reqps",
                [
                    Query('slo:all:rate5m{slo="answered"}', "asked for"),
                    Query('slo:bad:rate5m{slo="answered"}', "not answered"),
                    Query('slo:bad:rate5m{slo="in_time"}', "answered late"),
                ],
                width=12,
                links=[LOGS],
            ),
            ALERTS,
        ],
    },
)
