"""The interfaces between the executor's service and its engine."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.executor.transcript import Stream, Transcript
from app.wire.protocol import Command, Execution, ResultFile, Status


class EngineError(Exception):
    """A sandbox could not be made, started or used. Visitors' code never causes it. `told` is what visitors read."""

    told = "No sandbox could be run."


class Exhausted(EngineError):
    """Code failed because all sandboxes together, or the host, had no more of `what`: "memory" or "processes"."""

    def __init__(self, what: str) -> None:
        super().__init__(f"the sandboxes together, or the host, have no {what} left")
        self.told = f"The platform had no {what} left for your code."


class Busy(Exception):
    """No sandbox is free, and the queue for one is full."""


class Visitor:
    """The other end of an execution. This one has sent everything, and waits for the result alone."""

    @property
    def commands(self) -> AsyncIterator[Command] | None:
        """What the visitor sends while their code runs. None: nothing, and the code's input ends at once."""
        return None

    def started(self, execution_id: str) -> None:
        """Called once, before the code runs."""

    def output(self, stream: Stream, text: str) -> None:
        """Called with each text that the code writes. All calls together pass at most the profile's output."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. Times are in seconds, memory is in bytes; None stands for what could not be measured."""

    status: Status
    transcript: Transcript
    seconds: float
    exit_code: int | None = None
    signal: str | None = None
    cpu_time: float | None = None
    memory_peak: int | None = None
    files: tuple[ResultFile, ...] = ()
    warnings: tuple[str, ...] = ()


class Sandbox(Protocol):
    """A sandbox, for one execution."""

    @property
    def id(self) -> str:
        """32 hexadecimal digits, which are also the execution's id."""

    async def ended(self) -> None:
        """Return when its interpreter has ended, so that it can't be used. Cancelled when the sandbox is claimed."""

    async def run(self, execution: Execution, visitor: Visitor) -> Outcome:
        """Run an admitted execution. To be called once.

        Raises:
            EngineError: the sandbox failed.
        """


@dataclass(frozen=True)
class PoolState:
    """How many sandboxes of one environment are in each state."""

    starting: int
    ready: int
    running: int


class Engine(Protocol):
    """Gives out sandboxes with the profile's limits, each for one execution, and removes them afterwards."""

    async def claim(self, execution: Execution) -> Sandbox:
        """A sandbox for this execution, after a wait in a bounded queue. Cancel it to leave the queue.

        Raises:
            Busy: the queue is full.
            EngineError: no sandbox can be made.
        """

    def release(self, sandbox: Sandbox) -> None:
        """Give back a claimed sandbox, to be destroyed in the background. Each claimed one must be released."""

    @property
    def waiting(self) -> int:
        """The number of claims in the queue."""

    @property
    def alive(self) -> int:
        """The number of sandboxes that exist, in whatever state."""

    def pools(self) -> Mapping[str, PoolState]:
        """The state of the pool of each environment, by its name."""

    @property
    def fault(self) -> EngineError | None:
        """Why sandboxes of some environment can't be made, if none is ready either; else None."""

    async def close(self) -> None:
        """Remove all sandboxes and make no more. Executions that still run end with `EngineError`."""
