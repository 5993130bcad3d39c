"""Kinds of load: one request after the other, clients without a pause, random arrivals, and a burst."""

import math
import random
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tools.measure.bench import machine
from tools.measure.bench.client import Lost
from tools.measure.bench.ways import Unanswered, Way

_AFTER_A_FAILURE = 0.1


@dataclass
class Times:
    """The seconds of the requests that were answered, and the reasons why the others were not."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The quantile in milliseconds, by nearest rank. NaN if no request was answered."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan

    def take(self, way: Way, environment: str, since: float) -> bool:
        """Run one hello, and return whether it was answered. Its time counts from `since`, on the monotonic clock."""
        try:
            way.hello(environment)
        except (Unanswered, Lost) as error:
            self.failures.append(str(error))
            return False
        self.seconds.append(time.monotonic() - since)
        return True


@dataclass
class Rate:
    """What clients without a pause achieved. `cpu` are the seconds that the machine worked meanwhile."""

    times: Times = field(default_factory=Times)
    done: int = 0
    seconds: float = 0.0
    cpu: float = 0.0

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.seconds else math.nan

    def cpu_ms(self, at_rest: float) -> float:
        """CPU milliseconds of the machine for one hello, without the CPUs that are in use `at_rest`."""
        return 1000 * (self.cpu - at_rest * self.seconds) / self.done if self.done else math.nan


def closed(way: Way, environment: str, clients: int, rate: Rate, *, warm_up: float, seconds: float) -> None:
    """Add to `rate` what this number of clients achieve, each sending its next request when the last was answered.

    `warm_up` and `seconds` are durations. The warm-up, which uses up the sandboxes that were ready, is not counted.
    """
    start = time.monotonic() + warm_up
    end = start + seconds
    finished: list[float] = []

    def ask() -> None:
        while (now := time.monotonic()) < end:
            if rate.times.take(way, environment, now):
                finished.append(time.monotonic())
            else:
                time.sleep(_AFTER_A_FAILURE)

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask) for _ in range(clients)]
        time.sleep(max(0, start - time.monotonic()))
        before = machine.busy_seconds()
        time.sleep(max(0, end - time.monotonic()))
        rate.cpu += machine.busy_seconds() - before
        for each in asking:
            each.result()
    rate.done += sum(start <= at < end for at in finished)
    rate.seconds += seconds


def several(way: Way, environment: str, requests: int, clients: int) -> Times:
    """So many requests, of which as many as there are clients are under way at once."""
    times = Times()
    with ThreadPoolExecutor(clients) as pool:
        for _ in range(requests):
            pool.submit(lambda: times.take(way, environment, time.monotonic()))
    return times


def in_turn(
    kinds: Sequence[tuple[Way, str]], blocks: int, settle: Callable[[], object], order: random.Random
) -> dict[tuple[str, str], Times]:
    """Times by the names of way and environment, from blocks that contain each kind once, in random order.

    Each hello starts when the platform is idle: `settle` waits for that.
    """
    taken = {(way.name, environment): Times() for way, environment in kinds}
    for _ in range(blocks):
        for way, environment in order.sample(kinds, len(kinds)):
            settle()
            taken[way.name, environment].take(way, environment, time.monotonic())
    return taken


def arrivals(way: Way, environment: str, per_second: float, seconds: float, order: random.Random) -> Times:
    """Requests that arrive at random (Poisson), without waiting for answers. Each counts from when it was due."""
    times = Times()
    due = time.monotonic()
    last = due + seconds
    with ThreadPoolExecutor(max(8, int(per_second * seconds))) as pool:
        while (due := due + order.expovariate(per_second)) < last:
            time.sleep(max(0, due - time.monotonic()))
            pool.submit(times.take, way, environment, due)
    return times


def burst(way: Way, environment: str, requests: int) -> Times:
    """This number of requests at the same moment."""
    times = Times()
    together = threading.Barrier(requests)

    def ask() -> None:
        together.wait()
        times.take(way, environment, time.monotonic())

    with ThreadPoolExecutor(requests) as pool:
        for each in [pool.submit(ask) for _ in range(requests)]:
            each.result()
    return times
