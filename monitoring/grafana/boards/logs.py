"""What was logged, and whether logs and traces arrive."""

from monitoring.grafana.boards.common import failures
from monitoring.grafana.panels import RED, YELLOW, Board, Graph, Lines, Query
from monitoring.grafana.sources import LOKI

_BAD = 'level=~"warning|error|critical"'


def _lines(by_label: str, where: str) -> Query:
    return Query(f"sum by ({by_label}) (count_over_time({where}[5m]))", f"{{{{{by_label}}}}}", LOKI)


BOARD = Board(
    "logs",
    "Logs",
    "Log lines of the services and of the host. A line with a trace id leads to its trace.",
    {
        "How much": [
            Graph("By service", "Lines in 5 minutes.", "short", [_lines("service", '{service=~".+"}')], stacked=True),
            Graph("By level", "Lines in 5 minutes, where they tell one.", "short", [_lines("level", '{level=~".+"}')]),
            Graph(
                "Warnings and errors",
                "Lines in 5 minutes, by service.",
                "short",
                [_lines("service", f"{{{_BAD}}}")],
                stacked=True,
            ),
        ],
        "Lines": [
            Lines("Warnings and errors", "Of every service and of the host.", Query(f"{{{_BAD}}}", source=LOKI)),
            Lines(
                "api and executor",
                "Look for an execution by its id: add |= and the id in quotes.",
                Query('{service=~"api|executor"}', source=LOKI),
            ),
            Lines("Edge", "Each request that came in.", Query('{service="traefik"}', source=LOKI)),
            Lines("Host", "Log-ins, the kernel, the engine.", Query('{source="host"}', source=LOKI)),
        ],
        "Do they arrive?": [
            failures(
                "Lines lost", "In the collector or in Loki, within 10 minutes.", "sum(logs:lost:increase10m)", width=12
            ),
            failures(
                "Spans lost",
                "In the api, the executor or Jaeger, within 10 minutes.",
                "sum(spans:lost:increase10m)",
                width=12,
            ),
            Graph(
                "Lines",
                "Lines that Loki receives a second.",
                "cps",
                [Query("sum(rate(loki_distributor_lines_received_total[5m]))", "received")],
                width=6,
            ),
            Graph(
                "What waits in the collector",
                "Share of its queue on disk that is in use. It fills while Loki is away; once full, lines are lost.",
                "percentunit",
                [Query('otelcol_exporter_queue_size{job="collector"} / otelcol_exporter_queue_capacity', "queue")],
                width=6,
                levels=[(0.5, YELLOW), (0.9, RED)],
            ),
            Graph(
                "Spans",
                "Spans that Jaeger receives a second.",
                "cps",
                [Query("spans:received:rate5m", "received")],
                width=6,
            ),
            Graph(
                "Loki's answers",
                "95% of its requests took at most so long, by route.",
                "s",
                [
                    Query(
                        "histogram_quantile(0.95, sum by (route, le) (rate(loki_request_duration_seconds_bucket[5m])))",
                        "{{route}}",
                    )
                ],
                width=6,
            ),
        ],
    },
)
