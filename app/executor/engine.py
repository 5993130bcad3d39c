"""The seam between the executor and what makes its sandboxes."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from app.executor.transcript import Stream, Transcript
from app.wire.protocol import Command, Execution, ResultFile, Status


class EngineError(Exception):
    """A sandbox could not be made, started or watched. Never the doing of the visitor's code."""


class Busy(Exception):
    """No sandbox is free, and the queue for one is full."""


class Visitor(Protocol):
    """The other end of an execution."""

    @property
    def commands(self) -> AsyncIterator[Command] | None:
        """What the visitor does while their code runs. None: nothing, and the input ends at once."""

    def started(self, execution_id: str) -> None:
        """The code is about to run."""

    def output(self, stream: Stream, text: str) -> None:
        """The code has written this. All calls together carry no more than the profile's output."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. Times in seconds, memory in bytes; None is what a limit of ours, or the kernel, kept from us."""

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
    """One ready sandbox, claimed for one execution."""

    @property
    def id(self) -> str:
        """32 hexadecimal digits. The execution takes them for its own."""

    async def run(self, execution: Execution, visitor: Visitor) -> Outcome:
        """Run an execution that was admitted, or `EngineError`. Once only."""


@dataclass(frozen=True)
class PoolState:
    """Sandboxes of one environment, by what they are doing."""

    starting: int
    ready: int
    running: int


class Engine(Protocol):
    """Gives out sandboxes that hold to the profile, each for one execution, and leaves none behind."""

    async def claim(self, execution: Execution) -> Sandbox:
        """A sandbox for this execution, after a wait in a bounded queue. Cancel it to leave the queue.

        Raises:
            Busy: the queue is full.
            EngineError: no sandbox can be made.
        """

    def release(self, sandbox: Sandbox) -> None:
        """Every sandbox that was claimed must be released. It is destroyed, and nobody waits for that."""

    @property
    def waiting(self) -> int:
        """Claims in the queue."""

    @property
    def alive(self) -> int:
        """Sandboxes that are not known to be gone."""

    def pools(self) -> Mapping[str, PoolState]:
        """By environment."""

    @property
    def fault(self) -> EngineError | None:
        """Why an environment has no sandbox to give out, when none can be made."""

    async def close(self) -> None:
        """Remove all sandboxes, and make no more. Runs under way end with `EngineError`."""
