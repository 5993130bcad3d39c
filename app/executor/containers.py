"""What the engine counts for the containers of the stack's services, read on a timer.

The executor tells it because it holds the engine's socket already. An exporter beside it would be a second process
with all the rights that the socket gives.
"""

import asyncio
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any, Protocol

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

from app.executor.docker_api import Listed
from app.executor.engine import EngineError
from app.executor.observer import Observer

_log = logging.getLogger(__name__)

_MISSED = 3
"""After so many periods without a new reading the last one is told no more."""

_COUNTERS: Mapping[str, str] = MappingProxyType(
    {
        "container_cpu_seconds": "CPU time that a service has used, in seconds.",
        "container_network_receive_bytes": "Bytes that a service has received, of all its networks.",
        "container_network_transmit_bytes": "Bytes that a service has sent, of all its networks.",
    }
)
_GAUGES: Mapping[str, str] = MappingProxyType(
    {
        "container_memory_bytes": "Memory of a service, without files that the kernel can drop at once, in bytes.",
        "container_memory_limit_bytes": "Memory at which a service is killed, in bytes.",
        "container_pids": "Processes and threads of a service.",
        "container_restarts": "Times that the engine has started a service again after it had ended.",
        "container_oom_killed": "1 when the last end of a service was for its memory.",
        "container_healthy": "1 when a service runs and its health check says that it is well.",
        "container_start_time_seconds": "When a service was started, in seconds since 1970.",
    }
)

Figures = Mapping[str, float]
"""By the metric's name. What a container doesn't have is left out."""


class Calls(Protocol):
    """What is asked of the engine. Each fails with `EngineError`."""

    async def find(self, labels: Sequence[str]) -> Sequence[Listed]:
        """All containers that have these labels."""

    async def inspect(self, name: str) -> Mapping[str, Any]:
        """What the engine knows of a container. Empty when it is gone."""

    async def stats(self, name: str) -> Mapping[str, Any]:
        """What the kernel has counted for a container. Empty when it is gone."""


class Containers(Collector):
    """The last reading as metrics, with the label `service` alone. No reading, no metrics: 0 would be a lie."""

    def __init__(self, calls: Calls, stack: str, observer: Observer, seconds: float) -> None:
        self._calls = calls
        self._stack = stack
        self._observer = observer
        self._seconds = seconds
        self._services: Mapping[str, Figures] = {}
        self._sandboxes = 0
        self._read_at: float | None = None

    async def read_forever(self) -> None:
        """Read, again and again."""
        while True:
            try:
                await self.read()
            except (EngineError, LookupError, TypeError, ValueError) as error:  # or an answer of a shape of its own
                self._read_at = None
                self._observer.engine_failed("read")
                _log.warning("the stack's containers could not be read: %r", error)
            await asyncio.sleep(self._seconds)

    async def read(self) -> None:
        """Replace the reading, or `EngineError`.

        All containers at once: the engine counts once a second, and each of its answers waits for that.
        """
        stack = f"vps.stack={self._stack}"
        listed = await self._calls.find([stack, "vps.service", "vps.role=service"])
        read = await asyncio.gather(*(self._figures(found) for found in listed))
        self._sandboxes = len(await self._calls.find([stack, "vps.sandbox"]))
        self._services = {found.labels["vps.service"]: its for found, its in zip(listed, read, strict=True) if its}
        self._read_at = time.monotonic()

    def collect(self) -> Iterator[Metric]:
        """The figures of the last reading, unless it is too old."""
        if self._read_at is None or time.monotonic() - self._read_at > _MISSED * self._seconds:
            return
        for family, names in ((CounterMetricFamily, _COUNTERS), (GaugeMetricFamily, _GAUGES)):
            for name, meaning in names.items():
                metric = family(name, meaning, labels=["service"])
                for service, its in self._services.items():
                    if name in its:
                        metric.add_metric([service], its[name])
                yield metric
        yield GaugeMetricFamily(
            "sandbox_containers", "Containers of sandboxes, as the engine lists them.", value=self._sandboxes
        )

    async def _figures(self, container: Listed) -> Figures:
        """Empty when it is gone."""
        inspected = await self._calls.inspect(container.id)
        return figures(inspected, await self._calls.stats(container.id)) if inspected else {}


def figures(inspected: Mapping[str, Any], stats: Mapping[str, Any]) -> Figures:
    """The figures in the engine's answers. `stats` has the kernel's counters when the container runs."""
    state = inspected["State"]
    found = {"container_restarts": inspected["RestartCount"], "container_oom_killed": state["OOMKilled"]}
    if health := state.get("Health"):
        found["container_healthy"] = state["Running"] and health["Status"] == "healthy"
    if state["Running"]:
        found["container_start_time_seconds"] = datetime.fromisoformat(state["StartedAt"]).timestamp()
        found |= _counted(stats)
    return {name: float(value) for name, value in found.items()}


def _counted(stats: Mapping[str, Any]) -> dict[str, float]:
    found = {}
    if memory := stats.get("memory_stats"):
        found["container_memory_bytes"] = memory["usage"] - _droppable(memory)
        found["container_memory_limit_bytes"] = memory["limit"]
    if pids := stats.get("pids_stats"):
        found["container_pids"] = pids["current"]
    if cpu := stats.get("cpu_stats"):
        found["container_cpu_seconds"] = cpu["cpu_usage"]["total_usage"] / 1e9
    if networks := stats.get("networks"):
        found["container_network_receive_bytes"] = sum(network["rx_bytes"] for network in networks.values())
        found["container_network_transmit_bytes"] = sum(network["tx_bytes"] for network in networks.values())
    return found


def _droppable(memory: Mapping[str, Any]) -> int:
    """The file cache that is not in use, which the docker client doesn't count either: in cgroup v1's name, or v2's."""
    kernel = memory.get("stats", {})
    inactive: int = kernel.get("total_inactive_file", kernel.get("inactive_file", 0))
    return inactive if inactive < memory["usage"] else 0
