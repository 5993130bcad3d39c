"""What several dashboards show."""

from monitoring.grafana.panels import RED, Link, Number, Query, Table
from monitoring.grafana.sources import JAEGER, LOKI, explore

TRACES = Link("Traces of this time", explore(JAEGER, {"queryType": "search", "service": "api", "operation": "execute"}))
LOGS = Link("Log lines of this time", explore(LOKI, {"expr": '{service=~"api|executor"}', "queryType": "range"}))

ALERTS = Table(
    "Alerts",
    "What fires or is about to. The watchdog always fires: without it no other alert would arrive either.",
    Query("max by (alertname, alertstate, severity, job, service) (ALERTS)", instant=True),
    hidden=("Value",),
)


def quantiles(metric: str, where: str = "") -> list[Query]:
    """Half, 95% and 99% of a histogram's observations stay below these. Windows of 5 minutes."""
    buckets = f"sum by (le) (rate({metric}_bucket{where}[5m]))"
    return [
        Query(f"histogram_quantile({share}, {buckets})", name)
        for share, name in ((0.5, "half within"), (0.95, "95% within"), (0.99, "99% within"))
    ]


def by(label: str, metric: str, per: str = "rate", where: str = "") -> Query:
    """A counter's rate by second, split by one label."""
    return Query(f"sum by ({label}) ({per}({metric}{where}[5m]))", f"{{{{{label}}}}}")


def failures(title: str, description: str, expr: str, width: int = 4) -> Number:
    """A number that should be 0. `expr` may return nothing: then it is."""
    return Number(title, description, "short", Query(f"{expr} or vector(0)"), [(1, RED)], width=width, decimals=0)
