"""Executions frame by frame: by WebSocket, both ways, and by server-sent events, one way."""

import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Iterator
from urllib.parse import urlsplit

import anyio
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.api.dialect import Close, Dialect
from app.api.executions import Executions, Happening, Stream
from app.process.connection import ClientGone, while_connected
from app.profile import SandboxProfile
from app.wire.admission import admit_input, longest_body
from app.wire.problems import FAULT_OF_OURS, Code, Refused, problem_response
from app.wire.protocol import Command, EndOfInput, Execution, Fault, Input

EVENT_STREAM = "text/event-stream"

_SLOW_READER_SECONDS = 10
"""How long a client may take to read the rest once the execution is over."""
_START_SECONDS = 10
"""How long a client may take from the opening of a WebSocket to its first frame."""

Put = Callable[[str], None]
Written = Callable[[Happening], Iterable[str]]


@contextlib.asynccontextmanager
async def outbox(write: Callable[[str], Awaitable[None]]) -> AsyncIterator[Put]:
    """Text on its way to one client, in order. To put is never to wait: a slow reader must not hold a sandbox.

    What is waiting is bounded by what an execution may say: its output and result files.
    """
    sender, receiver = anyio.create_memory_object_stream[str](math.inf)

    async def drain() -> None:
        async with receiver:
            async for text in receiver:
                await write(text)

    async with anyio.create_task_group() as group:
        group.start_soon(drain)
        with sender:
            yield sender.send_nowait
        group.cancel_scope.deadline = anyio.current_time() + _SLOW_READER_SECONDS


class EventStream(Response):
    """The answer that is the execution itself, as it happens. What is refused before the start is a plain problem."""

    def __init__(self, executions: Executions, execution: Execution, refused: Callable[[Code], None]) -> None:
        super().__init__(media_type=EVENT_STREAM, headers={"Cache-Control": "no-store"})
        del self.headers["Content-Length"]
        self._executions = executions
        self._execution = execution
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer. A client that goes away ends the execution."""
        with contextlib.suppress(ClientGone):
            await while_connected(Request(scope, receive), self._answer(send))

    async def _answer(self, send: Send) -> None:
        async def write(text: str) -> None:
            await send({"type": "http.response.body", "body": text.encode(), "more_body": True})

        async with self._executions.stream(self._execution) as stream:
            await stream.send(EndOfInput())
            events = stream.events()
            first = await anext(events)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            async with outbox(write) as put:
                put(_sent_event(first))
                refused = await _follow(events, put, lambda event: (_sent_event(event),))
                if refused is not None:
                    self._refused(refused.problem.code)
                    put(_sent_event(Fault.of(refused.problem)))
        await send({"type": "http.response.body", "body": b""})


class WebSocketStream:
    """A WebSocket that runs one execution; `dialect` decides what its frames mean.

    Pages of these `origins`, and of its own, may open it. `refused` is called with the code of each refusal.
    """

    def __init__(
        self,
        executions: Executions,
        profile: SandboxProfile,
        dialect: Callable[[], Dialect],
        origins: Collection[str],
        refused: Callable[[Code], None],
    ) -> None:
        self._executions = executions
        self._dialect = dialect
        self._profile = profile
        self._origins = origins
        self._refused = refused

    async def serve(self, websocket: WebSocket) -> None:
        """One execution. Each way to end but the client's own is told by a last frame and a close code."""
        try:
            self._check_origin(websocket)
        except Refused as refused:
            self._refused(refused.problem.code)
            await websocket.send_denial_response(problem_response(refused.problem))
            return
        dialect = self._dialect()
        try:
            await self._serve(websocket, dialect)
        except WebSocketDisconnect:
            return
        except Refused as refused:
            await self._end(websocket, dialect, refused)
        except Exception:
            await self._end(websocket, dialect, Refused(Code.INTERNAL_ERROR, FAULT_OF_OURS))
            raise
        else:
            await _close(websocket, dialect.ended())

    def _check_origin(self, websocket: WebSocket) -> None:
        """Browsers let any page open a WebSocket, and tell whose it is; programs tell nothing, and may."""
        origin = websocket.headers.get("Origin")
        if origin is None or origin in self._origins or urlsplit(origin).netloc == websocket.headers.get("Host"):
            return
        raise Refused(Code.ORIGIN_NOT_ALLOWED, f"Pages of {origin} may not use this API.")

    async def _serve(self, websocket: WebSocket, dialect: Dialect) -> None:
        try:
            await self._executions.admit(websocket)
        finally:  # Only an open WebSocket can tell a script why it was refused.
            await websocket.accept()
        inbox = _Inbox(websocket, dialect, self._profile)
        execution = None
        with anyio.move_on_after(_START_SECONDS):
            execution = await inbox.start()
        if execution is None:
            raise Refused(Code.START_TOO_LATE, f"No start frame has come within {_START_SECONDS} s.")
        await self._relay(websocket, dialect, inbox, execution)

    async def _relay(self, websocket: WebSocket, dialect: Dialect, inbox: "_Inbox", execution: Execution) -> None:
        async def write(text: str) -> None:
            with contextlib.suppress(WebSocketDisconnect):
                await websocket.send_text(text)

        def written(event: Happening) -> Iterator[str]:
            return map(_frame, dialect.events(event))

        async with self._executions.stream(execution) as stream:
            async with outbox(write) as put:
                refused = await _converse(stream, inbox, put, written)
            if refused is not None:
                raise refused

    async def _end(self, websocket: WebSocket, dialect: Dialect, refused: Refused) -> None:
        self._refused(refused.problem.code)
        frame, close = dialect.refused(refused)
        with contextlib.suppress(WebSocketDisconnect):
            if frame is not None:
                await websocket.send_text(_frame(frame))
        await _close(websocket, close)


class _Inbox:
    """A client's frames, held to the limits that a request's body is held to."""

    def __init__(self, websocket: WebSocket, dialect: Dialect, profile: SandboxProfile) -> None:
        self._websocket = websocket
        self._dialect = dialect
        self._profile = profile
        self._bytes_left = longest_body(profile)
        self._stdin = 0

    async def start(self) -> Execution:
        """The execution that the client asks for."""
        while (execution := await self._dialect.start(await self._text())) is None:
            pass
        self._stdin = len(execution.stdin.encode())
        return execution

    async def next(self) -> Command:
        """What the client asks for next."""
        while (command := self._dialect.command(await self._text())) is None:
            pass
        if isinstance(command, Input):
            self._stdin += len(command.data.encode())
            admit_input(self._stdin, self._profile)
        return command

    async def _text(self) -> str:
        message = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text: str | None = message.get("text")
        if text is None:
            raise Refused(Code.INVALID_REQUEST, "Frames are JSON text, not binary.")
        self._bytes_left -= len(text.encode())
        if self._bytes_left < 0:
            raise Refused(Code.BODY_TOO_LONG, "The frames are longer in all than a request may be.")
        return text


async def _converse(stream: Stream, inbox: _Inbox, put: Put, written: Written) -> Refused | None:
    """Both ways until the execution ends, the client goes, or one of them breaks the rules."""
    broken: Refused | None = None

    async def listen(running: anyio.CancelScope) -> None:
        nonlocal broken
        try:
            while True:
                await stream.send(await inbox.next())
        except WebSocketDisconnect:
            pass
        except Refused as refused:
            broken = refused
        running.cancel()

    async with anyio.create_task_group() as group:
        group.start_soon(listen, group.cancel_scope)
        refused = await _follow(stream.events(), put, written)
        group.cancel_scope.cancel()
        return refused
    return broken


async def _follow(events: AsyncIterator[Happening], put: Put, written: Written) -> Refused | None:
    try:
        async for event in events:
            for text in written(event):
                put(text)
    except Refused as refused:
        return refused
    return None


async def _close(websocket: WebSocket, close: Close) -> None:
    with contextlib.suppress(WebSocketDisconnect):
        await websocket.close(close.code, close.reason)


def _frame(frame: BaseModel) -> str:
    return frame.model_dump_json()


def _sent_event(event: Happening | Fault) -> str:
    return f"event: {event.type}\ndata: {event.model_dump_json()}\n\n"
