"""Grafana's data sources, each with a fixed uid, and the links between them: metrics, traces and logs.

Metrics lead to traces and logs by links on the graphs, which keep the time: neither Traefik nor the api serves
exemplars. A log line leads to its trace by the trace id in its structured metadata or its JSON. A span leads to the
log lines of its service that carry its trace id, and to the service's own latency.
"""

import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from grafana_foundation_sdk.models.common import DataSourceRef

DASHBOARDS = "/etc/grafana/dashboards"
"""Where Grafana finds the dashboards of this repository."""


@dataclass(frozen=True)
class Source:
    """A server that Grafana queries. `kind` is the name of its plugin and its uid: there is one of each kind."""

    kind: str
    name: str

    def reference(self) -> DataSourceRef:
        """The reference by which a panel names it."""
        return DataSourceRef(type_val=self.kind, uid=self.kind)


PROMETHEUS = Source("prometheus", "Prometheus")
LOKI = Source("loki", "Loki")
JAEGER = Source("jaeger", "Jaeger")

_TRACE_ID = r'(?:traceID|trace_id|TraceId)"?[=:]\s*"?([0-9a-f]{32})'
"""Matches a trace id in a line of JSON or of key=value pairs."""


def explore(source: Source, query: dict[str, Any]) -> str:
    """The URL of Grafana's Explore with this query, for the time that the graph shows."""
    reference = {"type": source.kind, "uid": source.kind}
    pane = {
        "datasource": source.kind,
        "queries": [{"refId": "A", "datasource": reference, **query}],
        "range": {"from": "${__from}", "to": "${__to}"},
    }
    return "/explore?schemaVersion=1&panes=" + quote(json.dumps({"a": pane}), safe="${}")


def datasources(urls: dict[str, str]) -> dict[str, Any]:
    """The provisioning file of the data sources.

    Args:
        urls: by uid, of the servers that the stack runs. Links lead only to servers that are there.
    """
    known: dict[str, dict[str, Any]] = {
        "prometheus": {"isDefault": True, "jsonData": {"httpMethod": "POST", "timeInterval": "15s"}},
        "loki": {"jsonData": {"maxLines": 1000, "derivedFields": _to_traces() if "jaeger" in urls else []}},
        "jaeger": {"jsonData": _from_traces(urls)},
    }
    sources = [PROMETHEUS, LOKI, JAEGER]
    return {
        "apiVersion": 1,
        "prune": True,
        "datasources": [
            {
                "name": source.name,
                "uid": source.kind,
                "type": source.kind,
                "access": "proxy",
                "url": urls[source.kind],
                "editable": False,
                **known[source.kind],
            }
            for source in sources
            if source.kind in urls
        ],
    }


def provider() -> dict[str, Any]:
    """The provisioning file that makes Grafana load the dashboards."""
    return {
        "apiVersion": 1,
        "providers": [
            {
                "name": "platform",
                "folder": "Platform",
                "type": "file",
                "disableDeletion": True,
                "allowUiUpdates": False,
                "options": {"path": DASHBOARDS},
            }
        ],
    }


def _to_traces() -> list[dict[str, Any]]:
    """Links by the label for structured metadata, and for lines that have the id in their text."""
    # Provisioning files expand $: the doubled one arrives as one.
    target = {"url": "$${__value.raw}", "datasourceUid": JAEGER.kind, "urlDisplayLabel": "Trace"}
    return [
        {"name": "trace_id", "matcherType": "label", "matcherRegex": "trace_id", **target},
        {"name": "trace", "matcherType": "regex", "matcherRegex": _TRACE_ID, **target},
    ]


def _from_traces(urls: dict[str, str]) -> dict[str, Any]:
    links: dict[str, Any] = {"nodeGraph": {"enabled": True}}
    service = [{"key": "service.name", "value": "service"}]
    if "loki" in urls:
        links["tracesToLogsV2"] = {
            "datasourceUid": LOKI.kind,
            "spanStartTimeShift": "-1m",
            "spanEndTimeShift": "1m",
            "tags": service,
            "customQuery": True,
            "query": '{$${__tags}} | trace_id = "$${__trace.traceId}"',
        }
    if "prometheus" in urls:
        links["tracesToMetrics"] = {
            "datasourceUid": PROMETHEUS.kind,
            "tags": service,
            "queries": [
                {
                    "name": "95% of the answers within",
                    "query": "histogram_quantile(0.95, sum by (le) (rate(api_overhead_seconds_bucket[5m])))",
                }
            ],
        }
    return links
