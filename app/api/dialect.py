"""The frames of a WebSocket, in the form that its client knows: ours, or that of another service."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pydantic import BaseModel, TypeAdapter

from app.api.executions import Happening
from app.profile import SandboxProfile
from app.wire.admission import admit, parse, read_json
from app.wire.problems import Problem, Refused
from app.wire.protocol import Command, Execution, Fault, Start

_NORMAL = 1000
_POLICY = 1008
_PLATFORM_FAULT = 1011
_TRY_AGAIN_LATER = 1013

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class Close(NamedTuple):
    """How a WebSocket is closed. `reason` has at most 123 bytes."""

    code: int
    reason: str = ""


class Dialect(Protocol):
    """What the frames of one connection mean. A frame that is wrong raises `Refused`."""

    async def start(self, frame: str) -> Execution | None:
        """The execution that a frame before the start asks for, within the profile; none if the frame asks nothing."""

    def command(self, frame: str) -> Command | None:
        """What a frame after the start asks for, if anything."""

    def events(self, event: Happening) -> Iterable[BaseModel]:
        """The frames that tell the client of an event."""

    def ended(self) -> Close:
        """How to close the connection after a result."""

    def refused(self, refused: Refused) -> tuple[BaseModel | None, Close]:
        """The last frame of a connection that was refused, if it has one, and how to close it."""


class OwnDialect:
    """The frames of /execute/stream. See `Dialect`."""

    def __init__(self, profile: SandboxProfile) -> None:
        self._profile = profile

    async def start(self, frame: str) -> Execution:
        """Only a `Start` may come first."""
        start = parse(Start, frame)
        execution = Execution(**{name: getattr(start, name) for name in Execution.model_fields})
        admit(execution, self._profile)
        return execution

    def command(self, frame: str) -> Command:
        """Each frame is a command."""
        return read_json(_COMMAND.validate_json, frame)

    def events(self, event: Happening) -> Iterable[BaseModel]:
        """Each event is a frame."""
        return (event,)

    def ended(self) -> Close:
        """See `Dialect`."""
        return Close(_NORMAL)

    def refused(self, refused: Refused) -> tuple[BaseModel, Close]:
        """A `Fault`, and a code that tells whose fault it is."""
        return Fault.of(refused.problem), Close(_close_code(refused.problem))


def _close_code(problem: Problem) -> int:
    if problem.retry_after is not None:
        return _TRY_AGAIN_LATER
    return _POLICY if problem.status < 500 else _PLATFORM_FAULT
