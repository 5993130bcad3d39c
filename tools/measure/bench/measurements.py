"""The measurements of `make bench`, as steps."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from tools.console.steps import Report, Step
from tools.machine import process
from tools.machine.docker_engine import DockerEngine
from tools.measure.bench import load, machine, refusals
from tools.measure.bench.load import Rate, Times
from tools.measure.bench.platform import BenchStack
from tools.measure.bench.refusals import Refusal
from tools.measure.bench.ways import DockerRun, DockerSdk, Way

SEED = 4
"""The seed of all random orders and arrivals, so that two runs do the same."""
_ENVIRONMENT = "python"
"""The environment that is used under load."""
SERVICES = ("traefik", "api", "executor")
ENGINE = ("dockerd", "containerd")
CLIENT, MACHINE, SANDBOXES = "client", "machine", "ready sandboxes"


@dataclass(frozen=True)
class Plan:
    """How much is measured. Values are seconds, unless the name says otherwise. The defaults are the full plan."""

    latency: float = 80
    rate_blocks: int = 3
    rate_warm_up: float = 0.7
    rate: float = 3
    clients: tuple[int, ...] = (1, 2, 4, 8)
    arrivals: float = 12
    arrivals_per_second: tuple[int, ...] = (3, 6, 9)
    burst_requests: int = 50
    rest: float = 8


QUICK = Plan(latency=10, rate_blocks=1, rate_warm_up=0.5, rate=1.5, clients=(1, 8), arrivals=3, rest=2)


@dataclass(frozen=True)
class Rest:
    """The idle platform: memory in bytes, and CPUs in use by part."""

    sandboxes: int
    sandbox_memory: int
    shim_memory: int
    services_memory: int
    cpu: Mapping[str, float]


@dataclass
class Figures:
    """All results. Rates are by way and number of clients, arrivals by their number per second."""

    latency: dict[tuple[str, str], Times] = field(default_factory=dict)
    rates: dict[tuple[str, int], Rate] = field(default_factory=dict)
    arrivals: dict[int, Times] = field(default_factory=dict)
    burst: Times = field(default_factory=Times)
    refusals: Mapping[tuple[str, str], Refusal] = field(default_factory=dict)
    """What it takes to refuse the most expensive bodies, by path and kind."""
    memory_peaks: dict[str, int | None] = field(default_factory=dict)
    rest: Rest | None = None
    load: list[float] = field(default_factory=list)
    """The machine's load average before each step."""


class Measurements:
    """The steps, for a stack that runs."""

    def __init__(self, stack: BenchStack, plan: Plan) -> None:
        self.figures = Figures()
        self._stack = stack
        self._plan = plan
        self._order = random.Random(SEED)  # noqa: S311 - a shuffle, no secret
        self._docker: tuple[Way, ...] = ()

    def steps(self) -> list[Step]:
        return [
            Step(name, self._noting_load(measure))
            for name, measure in (
                ("At rest", self._rest),
                ("One client", self._latency),
                ("Clients without a pause", self._rates),
                ("Random arrivals", self._arrivals),
                ("A burst", self._burst),
                ("Refusals", self._refusals),
            )
        ]

    def prepare(self, engine: DockerEngine) -> None:
        """Read the profile's flags from a sandbox, for `docker run` and the SDK."""
        self._stack.settle()
        sandboxes = self._stack.sandboxes()
        ways = (DockerRun, DockerSdk)
        self._docker = tuple(way(engine.client(), sandboxes, self._stack.label) for way in ways)

    def _noting_load(self, measure: Callable[[Report], str]) -> Callable[[Report], str]:
        def run(report: Report) -> str:
            self.figures.load.append(machine.load())
            return measure(report)

        return run

    @property
    def _doors(self) -> tuple[Way, ...]:
        return self._stack.edge, self._stack.api, self._stack.executor

    def _rest(self, report: Report) -> str:
        stack = self._stack
        stack.settle()
        pool = stack.pool_pids()
        shims = [pids[0] for pids in pool.values()]
        inside = [pid for pids in pool.values() for pid in pids[1:]]
        services = [pid for pids in self._services.values() for pid in pids]
        before = {**self._meter(), SANDBOXES: machine.cpu_seconds(inside)}
        time.sleep(self._plan.rest)
        after = {**self._meter(), SANDBOXES: machine.cpu_seconds(inside)}
        self.figures.rest = Rest(
            sandboxes=len(pool),
            sandbox_memory=machine.memory(inside),
            shim_memory=machine.memory(shims),
            services_memory=machine.memory(services),
            cpu={part: (after[part] - before[part]) / self._plan.rest for part in after},
        )
        for environment in stack.environments:
            self.figures.memory_peaks[environment] = stack.memory_peak(environment)
        return f"{len(pool)} sandboxes ready"

    def _latency(self, report: Report) -> str:
        kinds = [(way, name) for way in (*self._doors, *self._docker) for name in self._stack.environments]
        self.figures.latency = load.latency(kinds, self._plan.latency, self._stack.settle, self._order, report.say)
        return f"{sum(len(times.seconds) for times in self.figures.latency.values())} hellos"

    def _rates(self, report: Report) -> str:
        plan = self._plan
        cells = [(way, clients) for way in (self._stack.edge, *self._docker) for clients in plan.clients]
        rates = self.figures.rates = {(way.name, clients): Rate() for way, clients in cells}
        for block in range(plan.rate_blocks):
            for way, clients in self._order.sample(cells, len(cells)):
                report.say(f"block {block + 1}: {way.name}, clients: {clients}")
                self._stack.settle()
                load.closed(
                    way,
                    _ENVIRONMENT,
                    clients,
                    rate=rates[way.name, clients],
                    warm_up=plan.rate_warm_up,
                    seconds=plan.rate,
                    meter=self._meter,
                )
        return f"{sum(rate.done for rate in rates.values())} hellos"

    def _meter(self) -> Mapping[str, float]:
        services = {name: machine.cpu_seconds(pids) for name, pids in self._services.items()}
        engine = {name: machine.cpu_seconds(process.named(name)) for name in ENGINE}
        return {**services, **engine, CLIENT: time.process_time(), MACHINE: machine.busy_seconds()}

    @cached_property
    def _services(self) -> Mapping[str, tuple[int, ...]]:
        return {name: self._stack.service_pids(name) for name in SERVICES}

    def _arrivals(self, report: Report) -> str:
        for per_second in self._plan.arrivals_per_second:
            report.say(f"{per_second} a second")
            self._stack.settle()
            self.figures.arrivals[per_second] = load.arrivals(
                self._stack.edge, _ENVIRONMENT, per_second, self._plan.arrivals, self._order
            )
        return f"{sum(len(times.seconds) for times in self.figures.arrivals.values())} answered"

    def _burst(self, report: Report) -> str:
        self._stack.settle()
        self.figures.burst = load.burst(self._stack.edge, _ENVIRONMENT, self._plan.burst_requests)
        return f"{len(self.figures.burst.seconds)} of {self._plan.burst_requests} answered"

    def _refusals(self, report: Report) -> str:
        (api,) = self._services["api"]
        self.figures.refusals = refusals.measure(self._stack.api.client, api)
        return f"{len(self.figures.refusals)} bodies"
