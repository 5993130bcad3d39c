"""The api's metrics for Prometheus. Every label has a bounded set of values."""

from functools import partial

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

from app.api.stats import Statistics
from app.process import limit_metrics
from app.profile import SandboxProfile
from app.wire.problems import Code
from app.wire.protocol import ExecutionResult

_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds: from a short run in a sandbox that was ready, to the longest run after the longest queue."""
_OVERHEAD_BUCKETS = (0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""Seconds: from a sandbox that was ready to the longest queue."""


class Metrics:
    """The metrics, in a registry of their own, and the statistics of GET /stats: both count the same events."""

    def __init__(self, profile: SandboxProfile) -> None:
        self.statistics = Statistics()
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, buckets=_BUCKETS, registry=self._registry)
        self._requests = counter("api_requests", "Requests answered, by route and status code.", ["route", "code"])
        self._request_seconds = histogram(
            "api_request_seconds", "Seconds from a request's arrival to the end of its answer, by route.", ["route"]
        )
        self.clients_gone = counter(
            "api_clients_gone",
            "Requests whose client disconnected before the end of its answer, or stopped sending or reading, by route.",
            ["route"],
        )
        self._executions = counter(
            "api_executions", "Executions answered, by environment and status.", ["environment", "status"]
        )
        self._execution_seconds = histogram(
            "api_execution_seconds",
            "Wall time of executions in their sandbox in seconds, by environment.",
            ["environment"],
        )
        self._overhead_seconds = histogram(
            "api_overhead_seconds",
            "Seconds that the platform adds: from an execution's admission to its result, minus its wall time in the "
            "sandbox, by environment.",
            ["environment"],
            buckets=_OVERHEAD_BUCKETS,
        )
        self._refusals = counter("api_refusals", "Refused requests, by reason.", ["reason"])
        # Each starts at 0, so that Prometheus sees the first refusal as an increase.
        for code in Code:
            self._refusals.labels(code)
        self.patterns = counter("api_pattern_warnings", "Dangerous patterns seen in code, by name.", ["pattern"])
        limit_metrics.register(profile, self._registry)
        self._spans_dropped = counter(
            "api_spans_dropped", "Spans that never reached the collector, by service.", ["service"]
        )
        for service in ("api", "executor"):
            self._spans_dropped.labels(service)
        self.batch_inputs = histogram(
            "api_batch_inputs", "Inputs of each batch that was run.", buckets=(1, 2, 5, 10, 20, 50, 100)
        )
        self.repeats = counter(
            "api_repeats", "Requests answered with the answer of an earlier one that had the same Idempotency-Key."
        )
        self.streams = Gauge("api_streams_open", "Executions being streamed now.", registry=self._registry)

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
