"""The api's metrics for Prometheus, which metrics.toml describes."""

from pathlib import Path

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)

from app.api.clients import Client
from app.api.stats import Statistics
from app.process import limit_metrics
from app.process.metric_table import MetricTable
from app.profile import SandboxProfile
from app.wire.problems import Code
from app.wire.protocol import ExecutionResult


class Metrics:
    """The metrics, in a registry of their own, and the statistics of GET /stats: both count the same events."""

    def __init__(self, profile: SandboxProfile) -> None:
        self.statistics = Statistics()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        make = MetricTable(Path(__file__).with_suffix(".toml"), self._registry).make
        self._requests = make(Counter, "api_requests")
        self._request_seconds = make(Histogram, "api_request_seconds")
        self.clients_gone = make(Counter, "api_clients_gone")
        self._executions = make(Counter, "api_executions")
        self._execution_seconds = make(Histogram, "api_execution_seconds")
        self._overhead_seconds = make(Histogram, "api_overhead_seconds")
        self._refusals = make(Counter, "api_refusals")
        # Each starts at 0, so that Prometheus sees the first refusal as an increase.
        for code in Code:
            self._refusals.labels(code)
        self.patterns = make(Counter, "api_pattern_warnings")
        limit_metrics.register(profile, self._registry)
        self._spans_dropped = make(Counter, "api_spans_dropped")
        for service in ("api", "executor"):
            self._spans_dropped.labels(service)
        self.batch_inputs = make(Histogram, "api_batch_inputs")
        self.repeats = make(Counter, "api_repeats")
        self._of_keys = make(Counter, "api_key_executions")
        self.key_seconds = make(Counter, "api_key_seconds")
        self.streams = make(Gauge, "api_streams_open")
        self.rooms = make(Gauge, "api_rooms")
        self.rooms_limit = make(Gauge, "api_rooms_limit")
        self.rooms_open = make(Gauge, "api_rooms_open")
        self.room_members = make(Gauge, "api_room_members")

    def answered(self, route: str, status: int, seconds: float) -> None:
        """Count a request that was answered in so many seconds. `route` is one of a fixed set."""
        self._requests.labels(route, str(status)).inc()
        self._request_seconds.labels(route).observe(seconds)

    def executed(self, result: ExecutionResult, seconds: float) -> None:
        """Count an execution. `seconds` is the time from its admission to its result."""
        self.statistics.count(result)
        self._executions.labels(result.environment, result.status).inc()
        self._execution_seconds.labels(result.environment).observe(result.execution_time)
        self._overhead_seconds.labels(result.environment).observe(max(0.0, seconds - result.execution_time))

    def of_key(self, client: Client, outcome: str) -> None:
        """Count what became of an execution, if its client gave a key: `admitted`, or the code of a refusal."""
        if client.key is not None:
            self._of_keys.labels(client.key.name, outcome).inc()

    def refused(self, code: Code) -> None:
        """Count a refused request."""
        self.statistics.refuse(code)
        self._refusals.labels(code).inc()

    def spans_dropped(self, service: str, count: int) -> None:
        """Count spans of the service, `api` or `executor`, that were discarded."""
        self._spans_dropped.labels(service).inc(count)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)
