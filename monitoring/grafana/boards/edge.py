"""Traefik, and the public routes as they look from outside."""

from monitoring.grafana.boards.common import by
from monitoring.grafana.panels import GREEN, RED, YELLOW, Board, Graph, Number, Query

_SECONDS = "traefik_router_request_duration_seconds"

BOARD = Board(
    "edge",
    "Edge",
    "What comes in through Traefik, how it is answered, and whether the public routes work from outside.",
    {
        "Now": [
            Number(
                "Routes that answer",
                "Public routes, probed from outside.",
                "percentunit",
                Query("avg(probe_success)"),
                [(0.5, YELLOW), (1, GREEN)],
                good=RED,
            ),
            Number(
                "Certificate",
                "Days that the first certificate to expire is valid. Renewal begins 30 days before the end.",
                "d",
                Query("min(certificate:days_left)"),
                [(3, YELLOW), (14, GREEN)],
                good=RED,
                decimals=0,
            ),
            Number(
                "Requests",
                "A second, over 5 minutes.",
                "reqps",
                Query("sum(rate(traefik_entrypoint_requests_total[5m]))"),
            ),
            Number(
                "Faults",
                "Share of the answers that are 5xx.",
                "percentunit",
                Query(
                    '(sum(rate(traefik_entrypoint_requests_total{code=~"5.."}[5m])) or vector(0)) '
                    "/ sum(rate(traefik_entrypoint_requests_total[5m]))"
                ),
                [(0.005, YELLOW), (0.02, RED)],
                decimals=2,
            ),
            Number(
                "Connections",
                "Open now, at the public entry points.",
                "short",
                Query('sum(traefik_open_connections{entrypoint!="internal"})'),
            ),
            Number(
                "Configuration",
                "When Traefik has last taken one.",
                "dateTimeFromNow",
                Query("max(traefik_config_last_reload_success) * 1000"),
            ),
        ],
        "Requests": [
            Graph(
                "By route",
                "Requests a second.",
                "reqps",
                [by("router", "traefik_router_requests_total")],
                stacked=True,
            ),
            Graph(
                "By code",
                "Answers a second, of all entry points.",
                "reqps",
                [by("code", "traefik_entrypoint_requests_total")],
                stacked=True,
            ),
            Graph(
                "Time by route",
                "95% of the requests took at most so long. An execution's own run time is in it.",
                "s",
                [Query(f"histogram_quantile(0.95, sum by (router, le) (rate({_SECONDS}_bucket[5m])))", "{{router}}")],
            ),
        ],
        "Traffic": [
            Graph(
                "Bytes",
                "By second, through the entry points.",
                "Bps",
                [
                    Query("sum(rate(traefik_entrypoint_requests_bytes_total[5m]))", "in"),
                    Query("sum(rate(traefik_entrypoint_responses_bytes_total[5m]))", "out"),
                ],
            ),
            Graph(
                "Open connections",
                "By entry point.",
                "short",
                [Query("sum by (entrypoint) (traefik_open_connections)", "{{entrypoint}}")],
            ),
            Graph(
                "Refused for too many requests",
                "Answers 429 a second, by route: the edge's own limits and the api's.",
                "reqps",
                [Query('sum by (router) (rate(traefik_router_requests_total{code="429"}[5m]))', "{{router}}")],
            ),
        ],
        "From outside": [
            Graph(
                "Routes",
                "1 while a route answers as it should.",
                "short",
                [Query("min by (route) (probe_success)", "{{route}}")],
                most=1,
            ),
            Graph(
                "Time of a probe",
                "Name, connection, TLS and answer.",
                "s",
                [Query("max by (route) (probe_duration_seconds)", "{{route}}")],
            ),
            Graph(
                "Days left of certificates",
                "As the edge holds them and as a browser is shown them.",
                "d",
                [Query("min by (certificate) (certificate:days_left)", "{{certificate}}")],
                levels=[(14, YELLOW)],
            ),
        ],
    },
)
