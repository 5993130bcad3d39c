"""The frames of a WebSocket that runs an execution, in the form of our API or of another service's."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from pydantic import BaseModel, TypeAdapter

from app.profile import SandboxProfile
from app.wire.admission import admit, parse, read_json
from app.wire.problems import Problem, Refused
from app.wire.protocol import Command, Execution, Fault, Happening, Start

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
    """Reads and writes the frames of one connection. An invalid frame raises `Refused`."""

    async def start(self, frame: str) -> Execution | None:
        """The execution in a frame before the start, within the profile. None: the frame has no effect."""

    def command(self, frame: str) -> Command | None:
        """The command in a frame after the start. None: the frame has no effect."""

    def events(self, event: Happening) -> Iterable[BaseModel]:
        """The client's frames for an event."""

    def ended(self) -> Close:
        """How to close the connection after a result."""

    def refused(self, refused: Refused) -> tuple[BaseModel | None, Close]:
        """The last frame after a refusal, if there is one, and how to close the connection."""


# The `Dialect` of /execute/stream. The docstring is in the OpenAPI document.
class OwnDialect:
    r"""The client's first frame is `Start`. Then it may send `Input`, `EndOfInput`, `Resize`, `Interrupt` and `Cancel`
    until it receives the last frame, a `Result` or a `Fault`. The code's standard input begins with `stdin` of the
    first frame and stays open until `EndOfInput`.

    With `terminal` in the first frame, the code has a pseudo terminal: it prompts, colours and edits lines as in any
    other. Enter is `\r` in an `Input`, and Ctrl-C is `\u0003`. A line that the terminal itself edits has at most 4,095
    bytes. What the terminal echoes counts as output.

    The close code is 1000 after a result; 1008 when the client was at fault; 1013 when it may try again later; 1011
    when the platform was at fault. A page must have an allowed origin. The frames of a client together may be as long
    as a request's body.
    """

    def __init__(self, profile: SandboxProfile) -> None:
        self._profile = profile

    async def start(self, frame: str) -> Execution:
        """The first frame must be a `Start`."""
        start = parse(Start, frame)
        admit(start, self._profile)
        return start

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
        """A `Fault`, and a close code for its kind."""
        return Fault.of(refused.problem), Close(_close_code(refused.problem))


def _close_code(problem: Problem) -> int:
    if problem.retry_after is not None:
        return _TRY_AGAIN_LATER
    return _POLICY if problem.status < 500 else _PLATFORM_FAULT
