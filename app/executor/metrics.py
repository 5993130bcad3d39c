"""The executor's figures, as Prometheus reads them."""

from collections.abc import Iterator
from functools import partial

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.executor.engine import Engine
from app.process import limit_metrics
from app.profile import SandboxProfile

_RUN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_MAKE_SECONDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The figures, in a registry of their own. Times are in seconds."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, profile: SandboxProfile) -> None:
        self.registry = CollectorRegistry()
        limit_metrics.register(profile, self.registry)
        counter, histogram = partial(Counter, registry=self.registry), partial(Histogram, registry=self.registry)
        environment = ["environment"]
        self.executions = counter("sandbox_executions", "Executions that have ended.", ["environment", "status"])
        self.run_seconds = histogram(
            "sandbox_execution_seconds", "Wall time of the code.", environment, buckets=_RUN_SECONDS
        )
        self.queue_seconds = histogram(
            "sandbox_queue_seconds", "Wait for a sandbox.", environment, buckets=_WAIT_SECONDS
        )
        self.make_seconds = histogram(
            "sandbox_make_seconds", "Time until a new sandbox was ready.", environment, buckets=_MAKE_SECONDS
        )
        self.engine_errors = counter(
            "sandbox_engine_errors", "Times that the engine failed to do something.", ["doing"]
        )
        # From 0 on, so that Prometheus sees the first one as an increase.
        for doing in ("make", "destroy"):
            self.engine_errors.labels(doing)
        self.died_idle = counter("sandbox_died_idle", "Ready sandboxes that have ended unused.", environment)
        self.orphans = counter("sandbox_orphans_swept", "Sandboxes that an executor before this one had left.")
        self.spans_dropped = counter("executor_spans_dropped", "Spans that nobody has taken in time.")

    def watch(self, engine: Engine) -> None:
        """Read the engine's state at each scrape."""
        self.registry.register(_State(engine))

    def exposition(self) -> bytes:
        """All figures, in Prometheus's text format."""
        return generate_latest(self.registry)


class _State(Collector):
    """Sandboxes by environment and state, and the queue."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The gauges now."""
        pool = GaugeMetricFamily("sandbox_pool", "Sandboxes by state.", labels=["environment", "state"])
        for environment, state in self._engine.pools().items():
            pool.add_metric([environment, "starting"], state.starting)
            pool.add_metric([environment, "ready"], state.ready)
            pool.add_metric([environment, "running"], state.running)
        yield pool
        yield GaugeMetricFamily("sandbox_queue", "Executions that wait for a sandbox.", value=self._engine.waiting)
        yield GaugeMetricFamily("sandbox_alive", "Sandboxes that are not known to be gone.", value=self._engine.alive)
