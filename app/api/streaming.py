"""Executions frame by frame: by WebSocket, both ways, and by server-sent events, one way."""

import contextlib
import math
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.utils import ClientDisconnected

from app.api.answering import note_gone
from app.api.connections import abort
from app.api.dialect import Close, Dialect
from app.api.executions import Executions, Happening, Stream
from app.api.executor_client import Said
from app.process.connection import hang_up
from app.profile import SandboxProfile
from app.wire.admission import admit_input, longest_body
from app.wire.problems import FAULT_OF_OURS, Code, Refused, problem_response
from app.wire.protocol import Command, EndOfInput, Execution, Fault, Input

EVENT_STREAM = "text/event-stream"

_SLOW_READER_SECONDS = 10
"""How long a client may take to read the rest once the execution is over."""
_START_SECONDS = 10
"""How long a client may take from the opening of a WebSocket to its first frame."""
_MOST_UNREAD = 4 * 1024 * 1024
"""Bytes that may wait for a client. All frames of an execution within the profile come to 2.3 MB at most: 1 MB of
files in base64, and 10 KB of output, each byte a frame of its own, and twice in the result."""
_GONE = (ClientDisconnect, WebSocketDisconnect, ClientDisconnected)
"""What Starlette and uvicorn raise when the client is gone: while a body is read, and while a WebSocket is used."""


class Client(Protocol):
    """The one who follows an execution. `commands` and `write` raise one of _GONE when there is nobody any more."""

    def commands(self) -> AsyncIterator[Command]:
        """What the client asks for while the code runs, without an end; `Refused` when it breaks a rule."""

    def frames(self, said: Said[Happening]) -> Iterable[bytes]:
        """The frames that tell the client of an event."""

    async def write(self, frame: bytes) -> None:
        """Send a frame. Waits while the client doesn't read."""


async def converse(stream: Stream, client: Client) -> bool:
    """Pass frames both ways until the client has read the last one. Raises `Refused` as the executor or client does.

    False when the client went away, or didn't read: what it has not got is dropped.
    """
    return await _Conversation(stream, client).hold()


class _Conversation:
    """Three tasks: one listens to the client, one follows the execution, and one writes what waits in the outbox.

    To put a frame in the outbox is never to wait, since a slow reader must not hold a sandbox.
    """

    def __init__(self, stream: Stream, client: Client) -> None:
        self._stream = stream
        self._client = client
        self._outbox, self._waiting = anyio.create_memory_object_stream[bytes](math.inf)
        self._unread = 0
        self._all = anyio.CancelScope()
        self._refused: Refused | None = None

    async def hold(self) -> bool:
        with self._all:
            async with self._waiting, anyio.create_task_group() as group:
                group.start_soon(self._write)
                with self._outbox:
                    await self._run()
                self._all.deadline = anyio.current_time() + _SLOW_READER_SECONDS
        if self._all.cancel_called:
            return False
        if self._refused:
            raise self._refused
        return True

    async def _run(self) -> None:
        """Until the execution ends, or the client breaks a rule."""
        async with anyio.create_task_group() as running:
            running.start_soon(self._listen, running.cancel_scope)
            try:
                async for said in self._stream.events():
                    for frame in self._client.frames(said):
                        self._put(frame)
            except Refused as refused:
                self._refused = refused
            running.cancel_scope.cancel()

    async def _listen(self, running: anyio.CancelScope) -> None:
        try:
            async for command in self._client.commands():
                await self._stream.send(command)
        except _GONE:
            self._all.cancel()
        except Refused as refused:
            self._refused = refused
            running.cancel()

    async def _write(self) -> None:
        try:
            async for frame in self._waiting:
                await self._client.write(frame)
                self._unread -= len(frame)
        except _GONE:
            self._all.cancel()

    def _put(self, frame: bytes) -> None:
        self._unread += len(frame)
        if self._unread > _MOST_UNREAD:
            self._all.cancel()
        else:
            self._outbox.send_nowait(frame)


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
        request = Request(scope, receive)
        client = _EventReader(request, send, self.raw_headers)
        try:
            async with self._executions.stream(self._execution) as stream:
                stayed = await converse(stream, client)
            if not stayed:
                note_gone(request)
                abort(request)
        except Refused as refused:
            if not client.started:
                raise
            self._refused(refused.problem.code)
            await client.write(_sent_event(Fault.of(refused.problem)))
        if client.started:
            await send({"type": "http.response.body", "body": b""})


class _EventReader:
    """A `Client` that reads server-sent events, and can only hang up."""

    def __init__(self, request: Request, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        self.started = False
        self._request = request
        self._send = send
        self._headers = headers

    async def commands(self) -> AsyncIterator[Command]:
        """See `Client`."""
        yield EndOfInput()
        await hang_up(self._request)
        raise ClientDisconnect

    def frames(self, said: Said[Happening]) -> Iterable[bytes]:
        """See `Client`."""
        return (_sent_event(said.message, said.json),)

    async def write(self, frame: bytes) -> None:
        """See `Client`."""
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._headers})
        await self._send({"type": "http.response.body", "body": frame, "more_body": True})


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
        dialect = self._dialect()
        try:
            self._check_origin(websocket)
            await self._serve(websocket, dialect)
        except _GONE:
            note_gone(websocket)
        except Refused as refused:
            await self._end(websocket, dialect, refused)
        except Exception:
            await self._end(websocket, dialect, Refused(Code.INTERNAL_ERROR, FAULT_OF_OURS))
            raise
        else:
            await _close(websocket, None, dialect.ended())

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
        client = _WebSocketClient(websocket, dialect, self._profile)
        execution = None
        with anyio.move_on_after(_START_SECONDS):
            execution = await client.start()
        if execution is None:
            raise Refused(Code.START_TOO_LATE, f"No start frame has come within {_START_SECONDS} s.")
        async with self._executions.stream(execution) as stream:
            stayed = await converse(stream, client)
        if not stayed:
            abort(websocket)
            raise ClientDisconnect

    async def _end(self, websocket: WebSocket, dialect: Dialect, refused: Refused) -> None:
        self._refused(refused.problem.code)
        if refused.problem.code is Code.ORIGIN_NOT_ALLOWED:
            with contextlib.suppress(*_GONE):
                await websocket.send_denial_response(problem_response(refused.problem))
        else:
            await _close(websocket, *dialect.refused(refused))


class _WebSocketClient:
    """A `Client` at a WebSocket. Its frames are held to the limits that a request's body is held to."""

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

    async def commands(self) -> AsyncIterator[Command]:
        """See `Client`."""
        while True:
            command = self._dialect.command(await self._text())
            if isinstance(command, Input):
                self._stdin += len(command.data.encode())
                admit_input(self._stdin, self._profile)
            if command is not None:
                yield command

    def frames(self, said: Said[Happening]) -> Iterable[bytes]:
        """See `Client`."""
        for frame in self._dialect.events(said.message):
            yield said.json if frame is said.message else frame.model_dump_json().encode()

    async def write(self, frame: bytes) -> None:
        """See `Client`."""
        await self._websocket.send_text(frame.decode())

    async def _text(self) -> str:
        message: Any = await self._websocket.receive()
        if message["type"] == "websocket.disconnect":
            raise WebSocketDisconnect(message["code"])
        text: str | None = message.get("text")
        if text is None:
            raise Refused(Code.INVALID_REQUEST, "Frames are JSON text, not binary.")
        self._bytes_left -= len(text.encode())
        if self._bytes_left < 0:
            raise Refused(Code.BODY_TOO_LONG, "The frames are longer in all than a request may be.")
        return text


async def _close(websocket: WebSocket, last: BaseModel | None, close: Close) -> None:
    """Send the last frame, and the close code. A client that has gone by now has missed nothing else."""
    with contextlib.suppress(*_GONE):
        if last is not None:
            await websocket.send_text(last.model_dump_json())
        await websocket.close(close.code, close.reason)


def _sent_event(event: Happening | Fault, json: bytes | None = None) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (event.type.encode(), json or event.model_dump_json().encode())
