"""Whether all is well, on one page."""

from monitoring.grafana.boards.common import ALERTS, LOGS, TRACES, by, failures, quantiles
from monitoring.grafana.panels import GREEN, RED, YELLOW, Board, Graph, Number, Query

BOARD = Board(
    "platform",
    "Platform overview",
    "Whether visitors are served, what it costs, and whether the monitoring itself works.",
    {
        "Now": [
            Number(
                "Answered",
                "Executions that were answered within the last hour, of those that were asked for. The objective is "
                "99.5%. What visitors did wrong is not counted.",
                "percentunit",
                Query('1 - slo:burn:1h{slo="answered"} * slo:budget:ratio'),
                [(0.99, YELLOW), (0.995, GREEN)],
                good=RED,
                decimals=2,
            ),
            Number(
                "Answered in time",
                "Answers of the last hour that took at most 0.5 s more than the code ran. The objective is 95%.",
                "percentunit",
                Query('1 - slo:burn:1h{slo="in_time"} * slo:budget:ratio'),
                [(0.9, YELLOW), (0.95, GREEN)],
                good=RED,
                decimals=1,
            ),
            Number(
                "Executions",
                "Executions answered a second, over 5 minutes.",
                "reqps",
                Query("sum(rate(api_executions_total[5m]))"),
                decimals=2,
            ),
            Number(
                "Waiting",
                "Executions that wait for a sandbox.",
                "short",
                Query("sandbox_queue"),
                [(1, YELLOW), (16, RED)],
                decimals=0,
            ),
            failures("Targets away", "Programs that Prometheus can't read.", "count(up == 0)"),
            failures(
                "Alerts firing", "Beside the watchdog.", 'count(ALERTS{alertstate="firing",alertname!="Watchdog"})'
            ),
        ],
        "Visitors": [
            Graph(
                "Executions by status",
                "Executions answered a second. An error is the code's own.",
                "reqps",
                [by("status", "api_executions_total")],
                stacked=True,
                links=[LOGS],
            ),
            Graph(
                "What the platform adds",
                "Time of an answer beyond the code's own run time.",
                "s",
                quantiles("api_overhead_seconds"),
                levels=[(0.5, RED)],
                links=[TRACES, LOGS],
            ),
            Graph(
                "Refusals by reason",
                "Requests refused a second: bad ones, quotas, a full queue, faults of ours.",
                "reqps",
                [by("reason", "api_refusals_total")],
                stacked=True,
                links=[LOGS],
            ),
        ],
        "What it costs": [
            Graph(
                "Memory by service",
                "Without what the kernel can drop at once.",
                "bytes",
                [Query("container_memory_bytes", "{{service}}")],
                width=12,
                stacked=True,
            ),
            Graph(
                "Processors by service",
                "Cores in use, over 5 minutes.",
                "short",
                [by("service", "container_cpu_seconds_total")],
                width=12,
                stacked=True,
            ),
        ],
        "Monitoring itself": [
            ALERTS,
            Graph(
                "Series",
                "What Prometheus holds in memory. It must not grow with the number of requests.",
                "short",
                [Query("prometheus_tsdb_head_series", "series")],
                width=4,
                levels=[(50_000, RED)],
            ),
            Graph(
                "Log lines",
                "Lines that Loki receives a second.",
                "cps",
                [Query("sum(rate(loki_distributor_lines_received_total[5m]))", "lines")],
                width=4,
            ),
            Graph(
                "Spans",
                "Spans that Jaeger receives a second.",
                "cps",
                [Query("spans:received:rate5m", "received")],
                width=4,
            ),
        ],
    },
)
