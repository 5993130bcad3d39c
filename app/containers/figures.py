"""The figures of the services' containers, as Prometheus reads them: figures.toml has their meanings."""

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.containers.cgroups import Cgroups, Usage
from app.containers.container import Container
from app.containers.docker_files import CONFIG, read

_FAMILIES = {"counters": CounterMetricFamily, "gauges": GaugeMetricFamily}
_MEANINGS = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())


class MemoryKills:
    """Counts restarts after a kill for memory: Docker keeps the cause until the next start, at least 0.1 s later."""

    def __init__(self, stack: str) -> None:
        self._stack = stack
        self._last: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def changed(self, folder: Path, name: str) -> None:
        """Docker has replaced the file `name` of a container; an empty name is any file."""
        if name not in (CONFIG, ""):
            return
        container = read(folder, self._stack)
        if container and container.killed_for_memory and self._last.get(container.id) != container.finished:
            self._last[container.id] = container.finished
            self._counts[container.service] = self.of(container.service) + 1

    def of(self, service: str) -> int:
        """The number for a service."""
        return self._counts.get(service, 0)


class Figures(Collector):
    """Everything is read at each scrape. One that can't be read fails, so that its target counts as down.

    `containers` reads those that there are. Without `kills` nobody knows of those.
    """

    def __init__(
        self, containers: Callable[[], Sequence[Container]], cgroups: Cgroups, kills: MemoryKills | None
    ) -> None:
        self._containers = containers
        self._cgroups = cgroups
        self._kills = kills

    def collect(self) -> Iterator[Metric]:
        """The figures now, with the labels `service` and, on a cluster, `pod`. A container without processes has no
        counters."""
        metrics, usages = families(), self._cgroups.read()
        for container in self._containers():
            for name, value in self._figures(container, usages.get(container.id)).items():
                if value is not None:
                    metrics[name].add_metric([container.service, container.pod], value)
        yield from metrics.values()

    def _figures(self, container: Container, usage: Usage | None) -> Mapping[str, float | None]:
        known: dict[str, float | None] = {
            "container_memory_kills": self._kills.of(container.service) if self._kills else None,
            "container_restarts": container.restarts,
            "container_running": usage is not None and usage.pids > 0,
        }
        if usage is None:
            return known
        return {
            **known,
            "container_cpu_seconds": usage.cpu_seconds,
            "container_memory_bytes": usage.memory,
            "container_memory_limit_bytes": usage.memory_limit,
            "container_pids": usage.pids,
            "container_start_time_seconds": container.started,
        }


def families() -> dict[str, CounterMetricFamily | GaugeMetricFamily]:
    """Every metric by its name, without a sample."""
    return {
        name: _FAMILIES[kind](name, meaning, labels=["service", "pod"])
        for kind, meanings in _MEANINGS.items()
        for name, meaning in meanings.items()
    }
