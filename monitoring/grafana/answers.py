"""What Prometheus and Loki answer to a panel's queries."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from monitoring.grafana.files import PanelQuery

_SECONDS = 20.0
_Found = Sequence[tuple[Mapping[str, str], Sequence[tuple[str, str]]]]
"""Labels, and pairs of a time and a value."""


@dataclass(frozen=True)
class Period:
    """Seconds since 1970, and the seconds between two values."""

    begin: float
    end: float
    step: float


@dataclass(frozen=True)
class Series:
    """Values by their time in seconds since 1970, under the name that the panel's legend gives them."""

    name: str
    labels: Mapping[str, str]
    values: Mapping[float, float]


@dataclass(frozen=True)
class Line:
    """A log line. `time` is in seconds since 1970."""

    time: float
    service: str
    text: str


class Answers:
    """Asks the servers by the uid of their data source. Where one isn't given, its queries have no answer."""

    def __init__(self, servers: Mapping[str, httpx.Client], period: Period) -> None:
        self._servers = servers
        self.period = period

    def series(self, query: PanelQuery) -> Sequence[Series]:
        """The series of a query that asks for numbers."""
        found = self._range(query) if not query.instant else self._now(query)
        return [
            Series(_name(query.legend, labels), labels, {float(time): float(value) for time, value in values})
            for labels, values in found
        ]

    def lines(self, query: PanelQuery, most: int) -> Sequence[Line]:
        """The newest lines of a query that asks for log lines."""
        found = self._range(query, limit=most)
        lines = [
            Line(int(time) / 1e9, labels.get("service", labels.get("source", "")), str(text))
            for labels, values in found
            for time, text in values
        ]
        return sorted(lines, key=lambda line: line.time, reverse=True)[:most]

    def _range(self, query: PanelQuery, limit: int = 1000) -> _Found:
        times = {"start": f"{self.period.begin:.3f}", "end": f"{self.period.end:.3f}", "step": f"{self.period.step:g}"}
        path = {"prometheus": "/api/v1/query_range", "loki": "/loki/api/v1/query_range"}[query.source]
        parameters = {"query": query.expr, **times} | ({"limit": str(limit)} if query.source == "loki" else {})
        result = self._ask(query.source, path, parameters)
        return [(it["metric"] if "metric" in it else it["stream"], it["values"]) for it in result]

    def _now(self, query: PanelQuery) -> _Found:
        parameters = {"query": query.expr, "time": f"{self.period.end:.3f}"}
        return [(it["metric"], [it["value"]]) for it in self._ask(query.source, "/api/v1/query", parameters)]

    def _ask(self, source: str, path: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
        if source not in self._servers:
            return []
        answer = self._servers[source].get(path, params=parameters)
        answer.raise_for_status()
        return list(answer.json()["data"]["result"])


def client(url: str) -> httpx.Client:
    """A client for a server's URL, which may hold a user and a password.

    A name below localhost is this machine: not every resolver knows that.
    """
    target = httpx.URL(url)
    headers = {}
    if target.host.endswith(".localhost"):
        headers["host"] = target.netloc.decode()
        target = target.copy_with(host="127.0.0.1")
    return httpx.Client(base_url=target, headers=headers, timeout=_SECONDS, trust_env=False)


def _name(legend: str, labels: Mapping[str, str]) -> str:
    return re.sub(r"\{\{ *(\w+) *\}\}", lambda found: labels.get(found[1], ""), legend)
