"""Ways under load: one after the other, by clients that never pause, by arrivals that never wait, all at once."""

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
    """What the requests of one kind came to: the seconds of those answered, the reasons of those that were not."""

    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def quantile(self, share: float) -> float:
        """The nearest rank: the smallest time that so many of them do not exceed. NaN when none was answered."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan

    def take(self, way: Way, environment: str, since: float) -> None:
        """Run one hello; its time counts from `since`, of the monotonic clock."""
        try:
            way.hello(environment)
        except (Unanswered, Lost) as error:
            self.failures.append(str(error))
        else:
            self.seconds.append(time.monotonic() - since)


Meter = Callable[[], Mapping[str, float]]
"""CPU seconds that each part of the machine has spent so far, by its name."""


@dataclass
class Rate:
    """What clients without a pause came to. `spent` are the CPU seconds of each part of the machine meanwhile."""

    done: int = 0
    seconds: float = 0.0
    spent: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return self.done / self.seconds if self.seconds else math.nan

    def cpu_ms(self, part: str, at_rest: float = 0.0) -> float:
        """CPU milliseconds of one hello, less what the part spends `at_rest`, in seconds a second."""
        return 1000 * (self.spent[part] - at_rest * self.seconds) / self.done if self.done else math.nan


Kind = tuple[Way, str]
"""A way and an environment."""


def latency(
    kinds: Sequence[Kind], seconds: float, settle: Callable[[], None], order: random.Random, say: Callable[[str], None]
) -> dict[tuple[str, str], Times]:
    """Times by the names of way and environment, in blocks that hold each kind once, shuffled.

    Each hello begins when the platform has nothing left to do: `settle` returns then. The last block is finished.
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
    """Add to `rate` what so many clients reach that ask again as soon as they are answered.

    The sandboxes that were ready at the beginning are used up in the warm-up, which is not counted.
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
    """Requests that come at random (Poisson), and that nobody holds back: each counts from when it was due."""
    times = Times()
    due = time.monotonic()
    last = due + seconds
    with ThreadPoolExecutor(max(8, int(per_second * seconds))) as pool:
        while (due := due + order.expovariate(per_second)) < last:
            time.sleep(max(0, due - time.monotonic()))
            pool.submit(times.take, way, environment, due)
    return times


def burst(way: Way, environment: str, requests: int) -> Times:
    """So many requests in the same moment."""
    times = Times()
    together = threading.Barrier(requests)

    def ask() -> None:
        together.wait()
        times.take(way, environment, time.monotonic())

    with ThreadPoolExecutor(requests) as pool:
        for each in [pool.submit(ask) for _ in range(requests)]:
            each.result()
    return times
