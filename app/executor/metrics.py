"""The executor's figures, as Prometheus reads them."""

from collections.abc import Iterator

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from app.executor.engine import Engine
from app.process import limit_metrics
from app.profile import SandboxProfile
from app.wire.protocol import Status

_RUN_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_WAIT_SECONDS = (0.001, 0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_MAKE_SECONDS = (0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """The figures, in a registry of their own. Times are in seconds."""

    media_type = CONTENT_TYPE_LATEST

    def __init__(self, profile: SandboxProfile) -> None:
        self._registry = CollectorRegistry()
        limit_metrics.register(profile, self._registry)
        self._executions = Counter(
            "sandbox_executions", "Executions that have ended.", ["environment", "status"], registry=self._registry
        )
        self._durations = self._histogram("execution_seconds", "Wall time of the code.", _RUN_SECONDS)
        self._waits = self._histogram("queue_seconds", "Wait for a sandbox.", _WAIT_SECONDS)
        self._made = self._histogram("make_seconds", "Time until a new sandbox was ready.", _MAKE_SECONDS)
        self._errors = Counter(
            "sandbox_engine_errors", "Times that the engine failed to do something.", ["doing"], registry=self._registry
        )
        # From 0 on, so that Prometheus sees the first one as an increase.
        for doing in ("make", "destroy"):
            self._errors.labels(doing)
        self._died = Counter(
            "sandbox_died_idle", "Ready sandboxes that have ended unused.", ["environment"], registry=self._registry
        )
        self._orphans = Counter(
            "sandbox_orphans_swept", "Sandboxes that an executor before this one had left.", registry=self._registry
        )

        self._spans = Counter("executor_spans_dropped", "Spans that nobody has taken in time.", registry=self._registry)

    def watch(self, engine: Engine) -> None:
        """Read the engine's state at each scrape."""
        self._registry.register(_State(engine))

    def exposition(self) -> bytes:
        """All figures, in Prometheus's text format."""
        return generate_latest(self._registry)

    def span_dropped(self) -> None:
        """A span that nobody has taken was forgotten."""
        self._spans.inc()

    def executed(self, environment: str, status: Status, seconds: float) -> None:
        """An execution has ended."""
        self._executions.labels(environment, status).inc()
        self._durations.labels(environment).observe(seconds)

    def waited(self, environment: str, seconds: float) -> None:
        """An execution has got its sandbox."""
        self._waits.labels(environment).observe(seconds)

    def made(self, environment: str, seconds: float) -> None:
        """A sandbox has become ready."""
        self._made.labels(environment).observe(seconds)

    def engine_failed(self, doing: str) -> None:
        """The engine would not `make` or `destroy` sandboxes."""
        self._errors.labels(doing).inc()

    def died_idle(self, environment: str) -> None:
        """A ready sandbox has ended without a claim."""
        self._died.labels(environment).inc()

    def swept(self, orphans: int) -> None:
        """Sandboxes were removed that an executor before this one had left."""
        self._orphans.inc(orphans)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"sandbox_{name}", meaning, ["environment"], buckets=buckets, registry=self._registry)


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
