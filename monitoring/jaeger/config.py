"""Jaeger's configuration: traces in by OTLP over HTTP, kept in memory, shown and asked for on one port."""

from typing import Any

OTLP_PORT = 4318
QUERY_PORT = 16686
METRICS_PORT = 8888
HEALTH_PORT = 13133
_ANY = "0.0.0.0"  # noqa: S104 - the container's own
_STORAGE = "memory"


def jaeger_config(traces: int) -> dict[str, Any]:
    """The content of jaeger.yml, for Jaeger 2.

    Args:
        traces: how many are kept. The oldest one goes for each that comes.
    """
    metrics = {"exporter": {"prometheus": {"host": _ANY, "port": METRICS_PORT}}}
    return {
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query", "healthcheckv2"],
            "pipelines": {
                "traces": {"receivers": ["otlp"], "processors": ["batch"], "exporters": ["jaeger_storage_exporter"]}
            },
            "telemetry": {
                "resource": {"service.name": "jaeger"},
                "metrics": {"level": "normal", "readers": [{"pull": metrics}]},
                "logs": {"level": "info", "encoding": "json"},
            },
        },
        "extensions": {
            "jaeger_storage": {"backends": {_STORAGE: {"memory": {"max_traces": traces}}}},
            "jaeger_query": {"storage": {"traces": _STORAGE}, "http": {"endpoint": f"{_ANY}:{QUERY_PORT}"}},
            "healthcheckv2": {"use_v2": True, "http": {"endpoint": f"{_ANY}:{HEALTH_PORT}"}},
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"{_ANY}:{OTLP_PORT}"}}}},
        "processors": {"batch": {"timeout": "1s"}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": _STORAGE}},
    }
