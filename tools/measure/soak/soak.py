"""Runs many executions while parts of the platform are killed, and looks for leaks."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from tools.console.steps import Report, StepFailed
from tools.machine.own_docker import OwnDocker
from tools.measure.bench import pool
from tools.measure.bench.client import Answer, Lost
from tools.measure.soak.processes import Processes, Reading
from tools.measure.soak.visitors import KILLED, Visit, visit

SEED = 4
VISITORS = 6
SECONDS_TO_SETTLE = 90
_AFTER_A_REFUSAL = 0.2
_AFTERMATH_SECONDS = 20
"""Seconds after a kill in which an execution may end with the status `killed`."""
_LONGEST_SECONDS_EACH = 1.0
_STARTING_SECONDS = 300
_MORE_DESCRIPTORS, _MORE_THREADS = 6, 2
"""The growth of an idle process that is no leak: kept connections, a worker thread."""
_MORE_MEMORY = 8 * 1024 * 1024
_FAULTS_SHOWN = 20


@dataclass
class Tally:
    """What became of the requests. `faults` are wrong answers and requests without an answer."""

    answered: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    cut: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def executions(self) -> int:
        return sum(self.answered.values()) + self.cut


@dataclass(frozen=True)
class Rest:
    """The idle platform, after this number of executions."""

    executions: int
    ready: int
    readings: list[Reading]


class Soak:
    """A test in four parts. In the middle of the first and the third, the executor is killed; in that of the second,
    Docker is restarted, which no execution may notice. After each part, the idle platform is measured."""

    def __init__(self, processes: Processes, engine: OwnDocker, environments: tuple[str, ...], wanted: int) -> None:
        self.tally = Tally()
        self.rests: list[Rest] = []
        self._processes = processes
        self._engine = engine
        self._environments = environments
        self._wanted = wanted
        self._chance = random.Random(SEED)  # noqa: S311 - which visit comes next, no secret
        self._counting = threading.Lock()
        self._aftermath = 0.0
        self._deadline = 0.0

    def run(self, report: Report) -> str:
        """Run the test.

        Raises:
            StepFailed: it takes more than a second for each execution, or the platform does not become idle.
        """
        self._processes.start()
        self._settle()
        started = time.monotonic()
        self._deadline = started + _STARTING_SECONDS + self._wanted * _LONGEST_SECONDS_EACH
        kill, restart = self._kill, self._engine.restart
        for leg, disturb in enumerate((kill, restart, kill, None), 1):
            self._leg(self._wanted * leg // 4, disturb, report)
            self._look()
        seconds = time.monotonic() - started
        self._processes.stop()
        return f"{self.tally.executions} executions in {seconds:.0f} s, {self.tally.executions / seconds:.1f} a second"

    def problems(self) -> list[str]:
        """The faults and leaks that were found, as sentences; empty if there are none."""
        found = self.tally.faults[:_FAULTS_SHOWN]
        if (more := len(self.tally.faults) - _FAULTS_SHOWN) > 0:
            found.append(f"and {more} more faults")
        readings = [reading for rest in self.rests for reading in rest.readings]
        last = {reading.pid: reading for reading in readings}
        first = {reading.pid: reading for reading in reversed(readings)}
        return found + [problem for pid in last for problem in growth(first[pid], last[pid])]

    def _leg(self, until: int, disturb: Callable[[], None] | None, report: Report) -> None:
        half = (self.tally.executions + until) // 2
        with ThreadPoolExecutor(VISITORS) as visitors:
            visiting = [visitors.submit(self._visit, until) for _ in range(VISITORS)]
            while not all(it.done() for it in visiting):
                time.sleep(0.1)
                report.say(f"{self.tally.executions} executions, {self.tally.refused.total()} refused")
                if disturb and self.tally.executions >= half:
                    disturb()
                    disturb = None
            for it in visiting:
                it.result()

    def _kill(self) -> None:
        self._aftermath = time.monotonic() + _AFTERMATH_SECONDS
        self._processes.kill_executor()

    def _visit(self, until: int) -> None:
        while self.tally.executions < until:
            if time.monotonic() > self._deadline:
                raise StepFailed(
                    f"Only {self.tally.executions} executions in the time for {self._wanted}.",
                    "The log of the api and the executor says more.",
                    self._processes.log,
                )
            with self._counting:
                chosen = visit(self._environments, self._chance)
            try:
                answer = self._processes.api.execute(chosen.body)
            except Lost as error:
                self.tally.faults.append(f"{chosen.name} was not answered: {error}")
                time.sleep(_AFTER_A_REFUSAL)
            else:
                self._judge(chosen, answer)

    def _judge(self, chosen: Visit, answer: Answer) -> None:
        with self._counting:
            if answer.status == 200:
                if not (fault := chosen.fault(answer)):
                    self.tally.answered[chosen.name] += 1
                elif answer.content["status"] == KILLED and time.monotonic() < self._aftermath:
                    self.tally.cut += 1
                else:
                    self.tally.faults.append(fault)
            elif answer.status == 503 and answer.content.get("code"):
                self.tally.refused[answer.content["code"]] += 1
            else:
                self.tally.faults.append(f"{chosen.name} got {answer.status}: {answer.body[:300]!r}")
        if answer.status != 200:
            time.sleep(_AFTER_A_REFUSAL)

    def _settle(self) -> int:
        """Wait until the ready sandboxes are all that the kernel has of sandboxes. Returns their number."""
        return pool.settle(
            self._processes.executor,
            SECONDS_TO_SETTLE,
            "The log of the executor says more.",
            self._processes.log,
            also=lambda ready: self._processes.sandboxes() == (ready, ready),
        )

    def _look(self) -> None:
        ready = self._settle()
        self.rests.append(Rest(self.tally.executions, ready, self._processes.read(ready)))


def growth(first: Reading, last: Reading) -> list[str]:
    """The growth from the first to the last reading beyond the bounds, as sentences."""
    bounds = {
        "descriptors": (first.descriptors, last.descriptors, _MORE_DESCRIPTORS),
        "threads": (first.threads, last.threads, _MORE_THREADS),
        "mounts": (first.mounts, last.mounts, 0),
        "bytes of memory": (first.memory, last.memory, _MORE_MEMORY),
    }
    return [
        f"the {first.process} has grown from {before} to {after} {what}"
        for what, (before, after, more) in bounds.items()
        if after > before + more
    ]
