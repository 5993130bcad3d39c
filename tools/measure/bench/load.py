"""Kinds of load: one request after the other, clients without a pause, random arrivals, and a burst."""

import math
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tools.measure.bench.client import Lost
from tools.measure.bench.ways import Unanswered, Way

_AFTER_A_FAILURE = 0.1


@dataclass
class Times:
    """The seconds of the requests that were answered, and the reasons why the others were not."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The quantile in seconds, by nearest rank. NaN if no request was answered."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan

    def take(self, way: Way, environment: str, since: float) -> None:
        """Run one hello. Its time counts from `since`, on the monotonic clock."""
        try:
            way.hello(environment)
        except (Unanswered, Lost) as error:
            self.failures.append(str(error))
        else:
            self.seconds.append(time.monotonic() - since)


Meter = Callable[[], Mapping[str, float]]
"""Returns the CPU seconds that each part of the machine has used so far, by the part's name."""


@dataclass
class Rate:
    """What clients without a pause achieved. `spent` are the CPU seconds of each part of the machine meanwhile."""

    done: int = 0
    seconds: float = 0.0
    spent: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.seconds else math.nan

    def cpu_ms(self, part: str, at_rest: float = 0.0) -> float:
        """CPU milliseconds of a part for one hello, without what it uses idle (`at_rest`, in CPUs)."""
        return 1000 * (self.spent[part] - at_rest * self.seconds) / self.done if self.done else math.nan


Kind = tuple[Way, str]
"""A way and an environment."""


def latency(
    kinds: Sequence[Kind], seconds: float, settle: Callable[[], None], order: random.Random, say: Callable[[str], None]
) -> dict[tuple[str, str], Times]:
    """Times by the names of way and environment, from blocks that contain each kind once, in random order.

    Each hello starts when the platform is idle: `settle` waits for that. A block that has started is finished.
    """
    taken = {(way.name, environment): Times() for way, environment in kinds}
    deadline = time.monotonic() + seconds
    blocks = 0
    while time.monotonic() < deadline:
        for way, environment in order.sample(kinds, len(kinds)):
            settle()
            taken[way.name, environment].take(way, environment, time.monotonic())
        blocks += 1
        say(f"{blocks} of each, {max(0, deadline - time.monotonic()):.0f} s left")
    return taken


def closed(
    way: Way, environment: str, clients: int, *, rate: Rate, warm_up: float, seconds: float, meter: Meter
) -> None:
    """Add to `rate` what this number of clients achieve, each sending its next request when the last was answered.

    `warm_up` and `seconds` are durations. The warm-up, which uses up the sandboxes that were ready, is not counted.
    """
    start = time.monotonic() + warm_up
    end = start + seconds
    finished: list[float] = []

    def ask() -> None:
        while time.monotonic() < end:
            try:
                way.hello(environment)
            except (Unanswered, Lost) as error:
                rate.failures.append(str(error))
                time.sleep(_AFTER_A_FAILURE)
            else:
                finished.append(time.monotonic())

    with ThreadPoolExecutor(clients) as pool:
        asking = [pool.submit(ask) for _ in range(clients)]
        time.sleep(max(0, start - time.monotonic()))
        before = meter()
        time.sleep(max(0, end - time.monotonic()))
        after = meter()
        for each in asking:
            each.result()
    rate.done += sum(start <= at < end for at in finished)
    rate.seconds += seconds
    rate.spent.update({part: after[part] - before[part] for part in after})


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
