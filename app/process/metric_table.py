"""Makes the metrics that a file in TOML describes: by name, the arguments of prometheus_client's class."""

import tomllib
from pathlib import Path
from typing import TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

M = TypeVar("M", bound=MetricWrapperBase)


class MetricTable:
    """The metrics of one process. Each that is made is in `registry`."""

    def __init__(self, file: Path, registry: CollectorRegistry) -> None:
        self._arguments = tomllib.loads(file.read_text())
        self._registry = registry

    def make(self, kind: type[M], name: str) -> M:
        """The metric of this name, a `Counter`, `Gauge` or `Histogram`. To be called once for each."""
        return kind(name, registry=self._registry, **self._arguments[name])
