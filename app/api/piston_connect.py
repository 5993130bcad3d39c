"""The frames of Piston's WebSocket, /api/v2/connect.

Compared with Piston's source of 26 March 2026 (commit 0a844d0). What differs from it:

- The limits of /execute/stream apply: the size of the output and of all frames, and 10 s until `init` in place of 1 s.
- `data` may follow `init` at once. Piston closes the connection unless the client waits for `runtime`.
- SIGINT and SIGTERM reach the code, and SIGKILL ends it. Other signals have no effect; in Piston no signal has any.
- Binary frames are refused.
"""

import signal
from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel

from app.api.dialect import Close
from app.api.executions import Executions
from app.api.operation import Document
from app.api.piston import PistonRequest, outcome
from app.api.piston_packages import find_runtime
from app.wire.admission import build, parse
from app.wire.problems import Code, Refused
from app.wire.protocol import Cancel, Command, Execution, Happening, Input, Interrupt, Output, Started

_COMPLETED = Close(4999, "Job Completed")
_ALREADY_INITIALIZED = Close(4000, "Already Initialized")
_INITIALIZATION_TIMEOUT = Close(4001, "Initialization Timeout")
_NOTIFIED = Close(4002, "Notified Error")
_NOT_YET_INITIALIZED = Close(4003, "Not yet initialized")
_NOT_STDIN = Close(4004, "Can only write to stdin")
_INVALID_SIGNAL = Close(4005, "Invalid signal")


class PistonInit(PistonRequest):
    """The client's first frame. `stdin` has no effect: input is sent as `data`."""

    type: Literal["init"]


class PistonData(Document):
    """From the client: text for the code's standard input. To the client: output of the code."""

    type: Literal["data"] = "data"
    stream: Literal["stdin", "stdout", "stderr"]
    data: str


class PistonSignal(Document):
    """A signal for the code, by its name."""

    type: Literal["signal"] = "signal"
    signal: str


class PistonStarted(Document):
    """The runtime that answers."""

    type: Literal["runtime"] = "runtime"
    language: str
    version: str


class PistonStage(Document):
    """The code is about to run."""

    type: Literal["stage"] = "stage"
    stage: Literal["run"] = "run"


class PistonExit(Document):
    """The code has ended: with an exit code, or by a signal."""

    type: Literal["exit"] = "exit"
    stage: Literal["run"] = "run"
    code: int | None
    signal: str | None


class PistonError(Document):
    """The last frame when the request was refused."""

    type: Literal["error"] = "error"
    message: str


class _Frame(BaseModel):
    """The fields that decide how a client's frame is read."""

    type: Any = None
    stream: Any = None
    signal: Any = None


class _Closed(Refused):
    """A breach of Piston's protocol: the connection is closed without a last frame."""

    def __init__(self, close: Close) -> None:
        super().__init__(Code.INVALID_REQUEST, close.reason)
        self.close = close


# The `Dialect` of Piston's WebSocket. The docstring is in the OpenAPI document.
class PistonDialect:
    """The client's first frame is `PistonInit`; `PistonData` and `PistonSignal` may follow. SIGINT and SIGTERM reach
    the code and SIGKILL ends it; other signals have no effect.

    The close code is 4999 after the code has ended, 4001 when no `PistonInit` came in time, 4002 after a `PistonError`,
    and 4000, 4003, 4004 or 4005 after a frame that is not allowed then. A page must have an allowed origin. The frames
    of a client together may be as long as a request's body.
    """

    def __init__(self, executions: Executions) -> None:
        self._executions = executions
        self._started: tuple[BaseModel, ...] = ()

    async def start(self, frame: str) -> Execution | None:
        """The execution that an `init` frame asks for. Frames of unknown types are ignored, as by Piston."""
        match parse(_Frame, frame).type:
            case "init":
                asked = parse(PistonInit, frame)
            case "data" | "signal":
                raise _Closed(_NOT_YET_INITIALIZED)
            case _:
                return None
        runtime = find_runtime(await self._executions.executor.environments(), asked.language, asked.version)
        language, version = runtime.package.language, runtime.environment.version
        self._started = (PistonStarted(language=language, version=version), PistonStage())
        profile = self._executions.profile
        return build(asked.execution(runtime.environment, profile), profile)

    def command(self, frame: str) -> Command | None:
        """The command that a frame after `init` asks for."""
        read = parse(_Frame, frame)
        match read.type:
            case "init":
                raise _Closed(_ALREADY_INITIALIZED)
            case "data" if read.stream != "stdin":
                raise _Closed(_NOT_STDIN)
            case "data":
                return Input(data=parse(PistonData, frame).data)
            case "signal":
                return _command(read.signal)
        return None

    def events(self, event: Happening) -> Iterable[BaseModel]:
        """The frames for this event."""
        if isinstance(event, Started):
            return self._started
        if isinstance(event, Output):
            return (PistonData(stream=event.stream, data=event.data),)
        run = outcome(event)
        return (PistonExit(code=run.code, signal=run.signal),)

    def ended(self) -> Close:
        """How the connection is closed after a result."""
        return _COMPLETED

    def refused(self, refused: Refused) -> tuple[BaseModel | None, Close]:
        """The last frame, if there is one, and how the connection is closed."""
        if isinstance(refused, _Closed):
            return None, refused.close
        if refused.problem.code is Code.START_TOO_LATE:
            return None, _INITIALIZATION_TIMEOUT
        return PistonError(message=refused.problem.detail), _NOTIFIED


def _command(name: Any) -> Command | None:
    match name:
        case "SIGINT" | "SIGTERM":
            return Interrupt(signal=name)
        case "SIGKILL":
            return Cancel()
    if name not in tuple(signal.Signals.__members__):
        raise _Closed(_INVALID_SIGNAL)
    return None
