"""The seam between the executor and what makes its sandboxes."""

from dataclasses import dataclass
from typing import Protocol

from app.executor.transcript import Transcript
from app.protocol import Execution, Status


class EngineError(Exception):
    """A sandbox could not be made, started or watched. Never the doing of the visitor's code."""


@dataclass(frozen=True)
class Outcome:
    """How a run ended. `exit_code` is None when a limit of ours stopped it; `seconds` is wall time."""

    status: Status
    exit_code: int | None
    transcript: Transcript
    seconds: float


class Engine(Protocol):
    """Runs each execution in a new sandbox that holds to the profile, and leaves none behind."""

    @property
    def active(self) -> int:
        """Sandboxes that this engine owns at this moment."""

    async def run(self, execution_id: str, execution: Execution) -> Outcome:
        """Run an execution that was admitted, in one new sandbox.

        The sandbox is gone when this returns, raises `EngineError`, or is cancelled.
        """

    async def ping(self) -> None:
        """Return when sandboxes can be made, else raise `EngineError`."""

    async def sweep(self) -> int:
        """Remove the stack's sandboxes that no run of this engine owns, and return how many there were."""

    async def close(self) -> None:
        """Remove all of the stack's sandboxes, and make no more. Runs under way end with `EngineError`."""
