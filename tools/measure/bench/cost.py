"""Measures the CPU and memory of each service, idle and under load, and the number of Prometheus's series."""

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from infra.services.catalog import OBSERVABILITY
from tools.measure.bench import load
from tools.measure.bench.platform import BenchStack, used

PER_SECOND = 6.0
EXECUTIONS = 1_000
_REST_SECONDS = 60.0
_BETWEEN_READINGS = 5.0
_MB = 1024**2


@dataclass(frozen=True)
class Use:
    """A service's average CPUs and peak memory in bytes, over a period."""

    cpus: float
    memory: int


@dataclass(frozen=True)
class Figures:
    """By service, the memory limit in bytes and its use; the executions; and the number of Prometheus's series before
    and after them."""

    limits: Mapping[str, int]
    at_rest: Mapping[str, Use]
    loaded: Mapping[str, Use]
    executions: load.Times
    series: tuple[int, int]


def measure(stack: BenchStack, say: Callable[[str], None]) -> Figures:
    """Read Docker's counters over an idle minute, then while the executions run."""
    containers = stack.services()
    say("at rest")
    with _used(containers) as at_rest:
        time.sleep(_REST_SECONDS)
    series = stack.series()
    say(f"{EXECUTIONS} executions, {PER_SECOND:g} a second")
    with _used(containers) as loaded:
        order = random.Random(0)  # noqa: S311 - no secret: the same arrivals in each run
        times = load.arrivals(stack.edge, "python", PER_SECOND, EXECUTIONS / PER_SECOND, order)
    time.sleep(2 * stack.SCRAPE_SECONDS)
    limits = {service: it.attrs["HostConfig"]["Memory"] for service, it in sorted(containers.items())}
    return Figures(limits, at_rest, loaded, times, (series, stack.series()))


def rows(figures: Figures) -> Iterator[tuple[str, ...]]:
    """The rows of the table, with sums for the observing services and for all."""
    yield "service", "MB at rest", "MB at most, loaded", "MB allowed", "CPU % at rest", "CPU % loaded"
    observing = [service.name for service in OBSERVABILITY if service.name in figures.limits]
    sums = {"all that observes": observing, "all": list(figures.limits)}
    for name, services in {**{it: [it] for it in figures.limits}, **sums}.items():
        limit = sum(figures.limits[it] for it in services)
        uses = [[used[it] for it in services] for used in (figures.at_rest, figures.loaded)]
        megabytes = [*(sum(it.memory for it in use) / _MB for use in uses), limit / _MB]
        percents = [100 * sum(it.cpus for it in use) for use in uses]
        yield name, *(f"{it:.0f}" for it in megabytes), *(f"{it:.1f}" for it in percents)


@contextmanager
def _used(containers: Mapping[str, Any]) -> Iterator[dict[str, Use]]:
    """The use of each service during the block. The mapping is filled at its end."""
    used: dict[str, Use] = {}
    over = threading.Event()
    peaks = dict.fromkeys(containers, 0)

    def watch() -> None:
        while not over.wait(_BETWEEN_READINGS):
            for service, (_, memory) in _read(containers).items():
                peaks[service] = max(peaks[service], memory)

    before, started = _read(containers), time.monotonic()
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield used
    finally:
        over.set()
        watcher.join()
    after, seconds = _read(containers), time.monotonic() - started
    for service in containers:
        spent = after[service][0] - before[service][0]
        used[service] = Use(spent / seconds, max(peaks[service], after[service][1]))


def _read(containers: Mapping[str, Any]) -> dict[str, tuple[float, int]]:
    """CPU seconds so far and bytes of memory now, by service."""
    return {service: used(container) for service, container in containers.items()}
