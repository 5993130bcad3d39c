"""The executor's figures, as Prometheus reads them. metrics.toml describes them, but for the engine's state."""

from collections.abc import Iterator
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.executor.engine import Engine
from app.process import limit_metrics
from app.process.metric_table import MetricTable
from app.profile import SandboxProfile


class Metrics:
    """The figures, in a registry of their own. Times are in seconds."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, profile: SandboxProfile) -> None:
        self.registry = CollectorRegistry()
        limit_metrics.register(profile, self.registry)
        make = MetricTable(Path(__file__).with_suffix(".toml"), self.registry).make
        self.executions = make(Counter, "sandbox_executions")
        self.run_seconds = make(Histogram, "sandbox_execution_seconds")
        self.queue_seconds = make(Histogram, "sandbox_queue_seconds")
        self.make_seconds = make(Histogram, "sandbox_make_seconds")
        self.engine_errors = make(Counter, "sandbox_engine_errors")
        # From 0 on, so that Prometheus sees the first one as an increase.
        for doing in ("make", "destroy"):
            self.engine_errors.labels(doing)
        self.died_idle = make(Counter, "sandbox_died_idle")
        self.orphans = make(Counter, "sandbox_orphans_swept")
        self.spans_dropped = make(Counter, "executor_spans_dropped")

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
