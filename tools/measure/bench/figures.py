"""What `make bench` measures, and what is wanted of it."""

import math
import random
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.console.steps import Report, Step
from tools.measure.bench import load, machine
from tools.measure.bench.load import Rate, Times
from tools.measure.bench.platform import BenchStack, processes, used
from tools.measure.bench.ways import BY_AGENT, COMPARED, HELLO, TO_ORDER, WAITING, Way

SEED = 4
"""The seed of all random orders and arrivals, so that two runs do the same."""
SERVICES = ("traefik", "api", "executor")
TOGETHER, REST = "together", "the rest of the machine"
BURST, ARRIVALS = "at once", "a second, at random"
_POOL, _SERVICES_MEMORY = "the ready sandboxes", "edge, api and executor"
_OURS = ("app.executor", "/usr/local/lib/sandbox/")
"""Commands of the executor's own processes: all others of its container are of sandboxes."""
_BUSY = 2
"""From this number of clients on, each way uses two CPUs fully."""
_COLD, _WARM, _WITHOUT, _TOGETHER = "a new set", "a set in the store", "without packages", "one new set, a crowd"
_MB = 1024 * 1024
_REASONS = 5
GOALS: Mapping[str, Mapping[str, float]] = tomllib.loads(Path(__file__).with_name("goals.toml").read_text())


@dataclass(frozen=True)
class Plan:
    """How much is measured. Values are seconds, unless the name says otherwise. The defaults are the full plan."""

    rest: float = 8
    hellos: int = 40
    executions: int = 120
    rate_blocks: int = 3
    rate: float = 3
    clients: tuple[int, ...] = (1, 2, 4)
    arrivals: float = 12
    arrivals_per_second: int = 30
    burst_requests: int = 50
    sets: int = 8


QUICK = Plan(rest=4, hellos=6, executions=30, rate_blocks=1, rate=1.5, clients=(1, 4), arrivals=4, sets=3)


@dataclass
class Figures:
    """All results: times by way and environment, CPU milliseconds of one execution by environment and part, rates by
    way and number of clients, times of a crowd and of executions with packages by their kind, how often the set of a
    crowd was prepared, bytes of memory at rest, and CPUs in use at rest by part.
    """

    hellos: dict[tuple[str, str], Times] = field(default_factory=dict)
    cpu: dict[tuple[str, str], float] = field(default_factory=dict)
    rates: dict[tuple[str, int], Rate] = field(default_factory=dict)
    crowds: dict[str, Times] = field(default_factory=dict)
    sets: dict[str, Times] = field(default_factory=dict)
    prepared: int = 0
    memory: dict[str, int] = field(default_factory=dict)
    mapped: dict[str, int] = field(default_factory=dict)
    rest: dict[str, float] = field(default_factory=dict)
    load: list[float] = field(default_factory=list)
    """The machine's load average before each step."""

    def hello(self, environment: str, share: float, way: str = WAITING) -> float:
        """A quantile of a hello's time in milliseconds."""
        return self.hellos.get((way, environment), Times()).quantile(share)

    def crowd(self, kind: str, share: float = 0.95) -> float:
        """A quantile in milliseconds of the crowd whose name ends so. NaN when some of it were not answered."""
        found = next((times for name, times in self.crowds.items() if name.endswith(kind)), Times())
        return math.nan if found.failures else found.quantile(share)

    def sustained(self, way: str) -> float:
        """Executions a second over all runs that use the CPUs fully. The best of several short runs would be chance."""
        busy = [it for (name, clients), it in self.rates.items() if name == way and clients >= _BUSY]
        seconds = sum(it.seconds for it in busy)
        done = sum(it.done for it in busy)
        return done / seconds if done else math.nan

    def reached(self) -> dict[str, float]:
        """The figures that can have a goal, by name. NaN is one that was not measured."""
        found = {
            "50 at once, p95 ms": self.crowd(BURST),
            "30 arrivals a second, p95 ms": self.crowd(ARRIVALS),
            "ms of /mcp above /execute, p50": self.hello(COMPARED, 0.50, BY_AGENT) - self.hello(COMPARED, 0.50),
            **{f"MB of {it}": self.memory.get(it, math.nan) / _MB for it in (_POOL, _SERVICES_MEMORY)},
        }
        cold, warm, without = (self.sets.get(kind, Times()).quantile(0.50) for kind in (_COLD, _WARM, _WITHOUT))
        found["python with a new set of packages, p50 ms"] = cold
        found["ms that a set in the store adds to python, p50"] = warm - without
        found["preparations of the set of a crowd"] = self.prepared or math.nan
        for way, name in (("docker run", "docker run"), ("nsjail", "bare nsjail")):
            found[f"executions a second, of {name}'s"] = self.sustained(WAITING) / self.sustained(way)
        for it in HELLO:
            found[f"CPU ms of one {it}"] = self.cpu.get((it, TOGETHER), math.nan)
            found[f"{it} waiting, p50 ms"] = self.hello(it, 0.50)
            found[f"{it} waiting, p95 ms"] = self.hello(it, 0.95)
            found[f"{it} made to order, p50 ms"] = self.hello(it, 0.50, TO_ORDER)
        return found


def judged(figures: Figures) -> Iterator[tuple[str, str, float, bool]]:
    """Each goal: its name, what is wanted, what was reached, and whether it is met. What was not measured is not."""
    reached = figures.reached()
    for name, least in GOALS["at least"].items():
        yield name, f">= {least:g}", reached[name], reached[name] >= least
    for name, most in GOALS["at most"].items():
        yield name, f"<= {most:g}", reached[name], reached[name] <= most


class Measurements:
    """The steps, for a stack that runs. `others` are the ways that the platform is compared with."""

    def __init__(self, stack: BenchStack, plan: Plan, others: Sequence[Way] = ()) -> None:
        self.figures = Figures()
        self.others = others
        self._stack = stack
        self._plan = plan
        self._order = random.Random(SEED)  # noqa: S311 - a shuffle, no secret

    def steps(self) -> list[Step]:
        """To be taken in this order."""
        return [
            Step(name, self._noting_load(measure))
            for name, measure in (
                ("One client", self._hellos),
                ("At rest", self._rest),
                ("CPU of one execution", self._cpu),
                ("Clients without a pause", self._rates),
                ("A crowd", self._crowd),
                ("Packages", self._packages),
            )
        ]

    def _noting_load(self, measure: Callable[[Report], str]) -> Callable[[Report], str]:
        def run(report: Report) -> str:
            self.figures.load.append(machine.load())
            return measure(report)

        return run

    def _rest(self, report: Report) -> str:
        ready = self._stack.settle()
        of_services = {name: processes(self._stack.services()[name]) for name in SERVICES}
        inside = [pid for pid, it in of_services["executor"].items() if not any(ours in it for ours in _OURS)]
        own = {pid for found in of_services.values() for pid in found} - set(inside)
        parts = {_POOL: inside, _SERVICES_MEMORY: own}
        self.figures.memory = {part: machine.memory(pids) for part, pids in parts.items()}
        self.figures.mapped = {part: machine.mapped(pids) for part, pids in parts.items()}
        before = self._spent()
        time.sleep(self._plan.rest)
        spent = self._spent()
        self.figures.rest = {part: (spent[part] - before[part]) / self._plan.rest for part in spent}
        return f"{ready} sandboxes are ready"

    def _hellos(self, report: Report) -> str:
        kinds: list[tuple[Way, str]] = [
            (way, name) for way in (self._stack.edge, self._stack.made_to_order) for name in HELLO
        ]
        kinds.append((self._stack.by_agent, COMPARED))
        self.figures.hellos = load.in_turn(kinds, self._plan.hellos, self._stack.settle, self._order)
        return f"{self._plan.hellos} of each"

    def _cpu(self, report: Report) -> str:
        """From a full pool to a full pool, so that each execution counts from its arrival to its clean-up."""
        rest = self.figures.rest
        for environment in HELLO:
            self._stack.settle()
            before, started = self._spent(), time.monotonic()
            done = len(load.several(self._stack.edge, environment, self._plan.executions, _BUSY).seconds)
            self._stack.settle()
            after, seconds = self._spent(), time.monotonic() - started
            spent = {it: 1000 * (after[it] - before[it] - rest[it] * seconds) / max(1, done) for it in after}
            together = sum(spent[service] for service in SERVICES)
            parts = {
                **{service: spent[service] for service in SERVICES},
                TOGETHER: together,
                REST: spent[REST] - together,
            }
            self.figures.cpu.update({(environment, part): value for part, value in parts.items()})
        return f"{self._plan.executions} of each environment"

    def _spent(self) -> Mapping[str, float]:
        """CPU seconds so far of each service and of the whole machine."""
        containers = self._stack.services()
        return {**{name: used(containers[name])[0] for name in SERVICES}, REST: machine.busy_seconds()}

    def _rates(self, report: Report) -> str:
        plan = self._plan
        cells = [(way, clients) for way in (self._stack.edge, *self.others) for clients in plan.clients]
        rates = self.figures.rates = {(way.name, clients): Rate() for way, clients in cells}
        for block in range(plan.rate_blocks):
            for way, clients in self._order.sample(cells, len(cells)):
                report.say(f"block {block + 1}: {way.name}, clients: {clients}")
                self._stack.settle()
                load.closed(way, COMPARED, clients, rates[way.name, clients], warm_up=plan.rate / 4, seconds=plan.rate)
        return f"{sum(rate.done for rate in rates.values())} hellos"

    def _crowd(self, report: Report) -> str:
        plan, edge = self._plan, self._stack.edge
        crowds = self.figures.crowds
        self._stack.settle()
        coming = load.arrivals(edge, COMPARED, plan.arrivals_per_second, plan.arrivals, self._order)
        crowds[f"{plan.arrivals_per_second} {ARRIVALS}"] = coming
        self._stack.settle()
        crowds[f"{plan.burst_requests} {BURST}"] = load.burst(edge, COMPARED, plan.burst_requests)
        return f"{sum(len(times.seconds) for times in crowds.values())} answered"

    def _packages(self, report: Report) -> str:
        """Sets of one small package: each new, one again and again, and one that a crowd asks for at once."""
        sets = self.figures.sets = {_COLD: Times(), _WARM: Times(), _WITHOUT: Times()}
        for number in range(self._plan.sets):
            way = self._stack.with_package(f"cold{number}")
            self._stack.settle()
            sets[_COLD].take(way, COMPARED, time.monotonic())
        for _ in range(self._plan.hellos):
            for kind, known in ((_WARM, way), (_WITHOUT, self._stack.edge)):
                self._stack.settle()
                sets[kind].take(known, COMPARED, time.monotonic())
        crowd, index = self._stack.with_package("crowd"), self._stack.index
        before = len(index.asked)
        sets[_TOGETHER] = load.burst(crowd, COMPARED, self._plan.burst_requests)
        self.figures.prepared = sum(path == "/simple/crowd/" for path in index.asked[before:])
        return f"{self._plan.sets} sets"


Row = Sequence[object]


def tables(figures: Figures) -> Iterator[list[Row]]:
    """The results. A first row is the heading."""
    clients = sorted({number for _, number in figures.rates})
    heading: Row = (
        "python hellos a second",
        *(f"{it} clients" for it in clients),
        "p50 ms, one",
        "CPU ms each",
        "failed",
    )
    yield [heading, *(_rate(figures, way, clients) for way in dict.fromkeys(way for way, _ in figures.rates))]
    parts = (*SERVICES, TOGETHER, REST)
    yield [
        ("CPU ms of one execution through the edge", *parts),
        *((it, *(_number(figures.cpu[it, part]) for part in parts)) for it in HELLO if (it, REST) in figures.cpu),
    ]
    own = {f"{name}, {way}": times for (way, name), times in sorted(figures.hellos.items())}
    shared = {f"{COMPARED}, {name}": times for name, times in {**figures.crowds, **figures.sets}.items()}
    hellos = {**own, **shared}
    yield [
        ("a hello through the edge", "p50 ms", "p95 ms", "p99 ms", "answered", "failed"),
        *((name, *_quantiles(it), len(it.seconds), len(it.failures)) for name, it in hellos.items()),
    ]
    yield [
        ("memory at rest", "MB", "MB of mapped files"),
        *((part, _number(size / _MB), _number(figures.mapped[part] / _MB)) for part, size in figures.memory.items()),
    ]
    every = [*hellos.values(), *(rate.times for rate in figures.rates.values())]
    reasons = Counter(reason for times in every for reason in times.failures).most_common(_REASONS)
    yield [("not answered, because", "times"), *reasons]
    yield [
        ("goal", "wanted", "reached", "verdict"),
        *((name, wanted, _number(it), "met" if met else "NOT MET") for name, wanted, it, met in judged(figures)),
    ]


def _rate(figures: Figures, way: str, clients: Sequence[int]) -> Row:
    rates = [figures.rates[way, number] for number in clients]
    whole = Rate(
        done=sum(it.done for it in rates), seconds=sum(it.seconds for it in rates), cpu=sum(it.cpu for it in rates)
    )
    cost, one = whole.cpu_ms(figures.rest[REST]), rates[0].times.quantile(0.5)
    failed = sum(len(it.times.failures) for it in rates)
    return way, *(_number(it.per_second) for it in rates), _number(one), _number(cost), failed


def _quantiles(times: Times) -> tuple[str, ...]:
    return tuple(_number(times.quantile(share)) for share in (0.50, 0.95, 0.99))


def _number(value: float) -> str:
    return f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}" if math.isfinite(value) else "-"
