"""The figures of the packages service, as Prometheus reads them. metrics.toml describes them."""

from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from app.packages.store import Store
from app.process.metric_table import MetricTable
from app.wire.problems import Code

_OUTCOMES = ("prepared", *(code for code in Code if code.startswith("package")))


class Metrics:
    """The figures, in a registry of their own."""

    def __init__(self, store: Store) -> None:
        self._registry = CollectorRegistry()
        make = MetricTable(Path(__file__).with_suffix(".toml"), self._registry).make
        self.preparations = make(Counter, "packages_preparations")
        # From 0 on, so that Prometheus sees the first one as an increase.
        for outcome in _OUTCOMES:
            self.preparations.labels(outcome)
        self.seconds = make(Histogram, "packages_preparation_seconds")
        make(Gauge, "packages_store_sets").set_function(lambda: len(store))
        make(Gauge, "packages_store_bytes").set_function(lambda: store.size)
        store.on_removal = make(Counter, "packages_sets_removed").inc

    def exposition(self) -> bytes:
        """All figures, in Prometheus's text format."""
        return generate_latest(self._registry)
