"""The code runner: latency, pool, refusals, statuses."""

from monitoring.grafana.boards.common import LOGS, TRACES, by, failures, quantiles
from monitoring.grafana.panels import RED, YELLOW, Board, Graph, Number, Query


def _p95(metric: str) -> Query:
    return Query(f"histogram_quantile(0.95, sum by (environment, le) (rate({metric}_bucket[5m])))", "{{environment}}")


BOARD = Board(
    "sandbox",
    "Sandbox",
    "The code runner: what is asked of it, how long it takes, what it refuses, and what the pool does.",
    {
        "Now": [
            Number("Running", "Sandboxes that run code.", "short", Query('sum(sandbox_pool{state="running"})')),
            Number("Ready", "Sandboxes that wait for code.", "short", Query('sum(sandbox_pool{state="ready"})')),
            Number(
                "Waiting",
                "Executions without a sandbox.",
                "short",
                Query("sandbox_queue"),
                [(1, YELLOW), (16, RED)],
            ),
            failures(
                "Left behind",
                "Sandboxes that the engine has and the executor doesn't know. A sweep removes them within 30 s.",
                "sum(sandbox_containers) - sum(sandbox_alive) > 0",
            ),
            failures(
                "Engine errors",
                "What the engine would not do, within an hour.",
                "sum(increase(sandbox_engine_errors_total[1h]))",
            ),
            failures(
                "Died idle",
                "Ready sandboxes that have ended unused, within an hour.",
                "sum(increase(sandbox_died_idle_total[1h]))",
            ),
        ],
        "Executions": [
            Graph(
                "By environment",
                "Executions answered a second.",
                "reqps",
                [by("environment", "api_executions_total")],
                stacked=True,
            ),
            Graph(
                "By status",
                "How they ended. All of these are results: none is a fault of the platform.",
                "reqps",
                [by("status", "api_executions_total")],
                stacked=True,
                links=[LOGS],
            ),
            Graph(
                "Refusals by reason",
                "Requests refused a second.",
                "reqps",
                [by("reason", "api_refusals_total")],
                stacked=True,
                links=[LOGS],
            ),
        ],
        "Latency": [
            Graph(
                "What the platform adds",
                "Time of an answer beyond the code's own run time: the wait for a sandbox and our own work.",
                "s",
                quantiles("api_overhead_seconds"),
                levels=[(0.5, RED)],
                links=[TRACES, LOGS],
            ),
            Graph("Wait for a sandbox", "95% waited at most so long.", "s", [_p95("sandbox_queue_seconds")]),
            Graph("Run time", "95% of the code ran at most so long.", "s", [_p95("sandbox_execution_seconds")]),
        ],
        "Pool": [
            Graph(
                "Ready sandboxes",
                "By environment. At 0 the next execution has to wait until one is made.",
                "short",
                [Query('sum by (environment) (sandbox_pool{state="ready"})', "{{environment}}")],
            ),
            Graph(
                "Sandboxes by state",
                "Starting, ready or running, and executions that wait.",
                "short",
                [Query("sum by (state) (sandbox_pool)", "{{state}}"), Query("sandbox_queue", "waiting executions")],
            ),
            Graph(
                "Time to make one",
                "95% of the new sandboxes were ready within it, over an hour.",
                "s",
                [
                    Query(
                        "histogram_quantile(0.95, sum by (environment, le) (rate(sandbox_make_seconds_bucket[1h])))",
                        "{{environment}}",
                    )
                ],
            ),
        ],
        "Less usual": [
            Graph(
                "Containers of sandboxes",
                "As the engine lists them and as the executor knows them: they should agree.",
                "short",
                [Query("sandbox_containers", "engine"), Query("sandbox_alive", "executor")],
            ),
            Graph("Open streams", "Executions that are being streamed.", "short", [Query("api_streams_open", "open")]),
            Graph(
                "Dangerous patterns",
                "Seen in visitors' code a second, by name. The sandbox holds without them; they tell of attempts.",
                "reqps",
                [by("pattern", "api_pattern_warnings_total")],
            ),
        ],
    },
)
