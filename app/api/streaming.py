"""Executions frame by frame: by WebSocket, both ways, and by server-sent events, one way."""

import contextlib
import math
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import anyio
from pydantic import BaseModel
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from uvicorn.protocols.utils import ClientDisconnected

from app.api.answering import note_gone
from app.api.clients import Client
from app.api.connections import abort
from app.api.dialect import Close, Dialect
from app.api.executions import Executions
from app.api.executor_client import ExecutorStream, Said
from app.process.connection import hang_up
from app.profile import SandboxProfile
from app.wire.admission import admit_input, longest_body
from app.wire.problems import FAULT_OF_OURS, Code, Refused, problem_response
from app.wire.protocol import Command, EndOfInput, Execution, Fault, Happening, Input

EVENT_STREAM = "text/event-stream"

_SLOW_READER_SECONDS = 10
"""Seconds for a client to read the remaining frames once the execution has ended."""
_START_SECONDS = 10
"""Seconds from the opening of a WebSocket to the client's first frame."""
_MOST_UNREAD = 4 * 1024 * 1024
"""Bytes of frames that may wait for a client. One execution within the profile's floor produces 2.3 MB at most: 1 MB
of files in base64, and 10 KB of output, which is twice in the result and may have one frame for each byte."""
GONE = (ClientDisconnect, WebSocketDisconnect, ClientDisconnected)
"""Exceptions of Starlette and uvicorn when a client disconnects: from a request's body, and from a WebSocket."""


class Reader(Protocol):
    """The client of a stream. `commands` and `write` raise one of GONE when it disconnects."""

    def commands(self) -> AsyncIterator[Command]:
        """Commands of the client, without an end. `Refused` when a frame is invalid."""

    def frames(self, said: Said[Happening]) -> Iterable[bytes]:
        """An event as frames for `write`."""

    async def write(self, frame: bytes) -> None:
        """Send a frame. Waits while the client doesn't read."""


class _Conversation:
    """Passes commands to the execution and events to the client.

    Three tasks: one receives commands, one follows the execution, and one sends the frames of the outbox.

    Putting a frame into the outbox never waits, so that a slow reader does not occupy a sandbox.
    """

    def __init__(self, stream: ExecutorStream, client: Reader) -> None:
        self._stream = stream
        self._client = client
        self._outbox, self._waiting = anyio.create_memory_object_stream[bytes](math.inf)
        self._unread = 0
        self._all = anyio.CancelScope()
        self._refused: Refused | None = None

    async def hold(self) -> bool:
        """Converse until the client has been sent the last frame.

        Returns:
            Whether the client stayed. False when it disconnected or did not read in time; the execution is to be
            cancelled, and unsent frames are discarded.

        Raises:
            Refused: the executor refused the execution, or the client sent an invalid frame. Earlier frames were sent.
        """
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
        """Run until the execution ends or the client sends an invalid frame."""
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
        except GONE:
            self._all.cancel()
        except Refused as refused:
            self._refused = refused
            running.cancel()

    async def _write(self) -> None:
        try:
            async for frame in self._waiting:
                await self._client.write(frame)
                self._unread -= len(frame)
        except GONE:
            self._all.cancel()

    def _put(self, frame: bytes) -> None:
        self._unread += len(frame)
        if self._unread > _MOST_UNREAD:
            self._all.cancel()
        else:
            self._outbox.send_nowait(frame)


# The docstring is in the OpenAPI document.
class EventStream(Response):
    """With `Accept: text/event-stream` the answer is a stream of server-sent events. Each event has the name of a frame
    type of `/execute/stream`, and that frame as its data.
    """

    def __init__(self, executions: Executions, execution: Execution) -> None:
        super().__init__()
        self._executions = executions
        self._execution = execution

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the execution and send its events. It is cancelled when the client disconnects.

        A refusal before the first event is answered with a problem document.
        """
        request = Request(scope, receive)
        pieces = Pieces(send, EVENT_STREAM)
        try:
            async for step in self._executions.packages.preparing(self._execution):
                await pieces.write(sent_event(step.type, step.model_dump_json().encode()))
            async with self._executions.stream(self._execution) as stream:
                stayed = await _Conversation(stream, _EventReader(request, pieces)).hold()
            if not stayed:
                note_gone(request)
                abort(request)
        except Refused as refused:
            if not pieces.started:
                raise
            self._executions.metrics.refused(refused.problem.code)
            await pieces.write(sent_event("problem", Fault.of(refused.problem).model_dump_json().encode()))
        if pieces.started:
            await pieces.end()


class Pieces:
    """An answer that is sent piece by piece. Its head goes with the first one, so that a refusal can come before."""

    def __init__(self, send: Send, media_type: str) -> None:
        self.started = False
        self._send = send
        self._head = Response(media_type=media_type, headers={"Cache-Control": "no-store"})
        del self._head.headers["Content-Length"]

    async def write(self, piece: bytes) -> None:
        """Send a piece. Waits while the client doesn't read."""
        if not self.started:
            self.started = True
            await self._send({"type": "http.response.start", "status": 200, "headers": self._head.raw_headers})
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        """Say that no more pieces follow."""
        await self._send({"type": "http.response.body", "body": b""})


class _EventReader:
    """A `Reader` of server-sent events. It sends no commands."""

    def __init__(self, request: Request, pieces: Pieces) -> None:
        self._request = request
        self.write = pieces.write

    async def commands(self) -> AsyncIterator[Command]:
        """See `Reader`."""
        yield EndOfInput()
        await hang_up(self._request)
        raise ClientDisconnect

    def frames(self, said: Said[Happening]) -> Iterable[bytes]:
        """See `Reader`."""
        return (sent_event(said.message.type, said.json),)


@dataclass(frozen=True)
class WebSocketStream:
    """A WebSocket that runs one execution; `dialect` decides what its frames mean.

    Pages of its own origin, and of those that are `allowed`, may open it.
    """

    executions: Executions
    dialect: Callable[[], Dialect]
    allowed: Callable[[str], bool]

    async def serve(self, websocket: WebSocket) -> None:
        """Run one execution. It ends with a last frame and a close code, unless the client disconnects."""
        dialect = self.dialect()
        try:
            check_origin(websocket, self.allowed)
            client = self.executions.client(websocket)
            await self._serve(websocket, client, dialect)
        except GONE:
            note_gone(websocket)
        except Refused as refused:
            await self._end(websocket, dialect, refused)
        except Exception:
            await self._end(websocket, dialect, Refused(Code.INTERNAL_ERROR, FAULT_OF_OURS))
            raise
        else:
            await _close(websocket, None, dialect.ended())

    async def _serve(self, websocket: WebSocket, who: Client, dialect: Dialect) -> None:
        try:
            await self.executions.count(who)
        finally:  # A script can read the reason of a refusal only on an open WebSocket.
            await websocket.accept()
        client = _WebSocketClient(websocket, dialect, self.executions.profile)
        execution = None
        with anyio.move_on_after(_START_SECONDS):
            execution = await client.start()
        if execution is None:
            raise Refused(Code.START_TOO_LATE, f"No start frame has come within {_START_SECONDS} s.")
        async for step in self.executions.packages.preparing(execution):
            await client.write(step.model_dump_json().encode())
        async with self.executions.stream(execution) as stream:
            stayed = await _Conversation(stream, client).hold()
        if not stayed:
            abort(websocket)
            raise ClientDisconnect

    async def _end(self, websocket: WebSocket, dialect: Dialect, refused: Refused) -> None:
        self.executions.metrics.refused(refused.problem.code)
        if websocket.application_state is WebSocketState.CONNECTING:
            with contextlib.suppress(*GONE):
                await websocket.send_denial_response(problem_response(refused.problem))
        else:
            await _close(websocket, *dialect.refused(refused))


def check_origin(websocket: WebSocket, allowed: Callable[[str], bool]) -> None:
    """Browsers let any page open a WebSocket and send its origin. Other programs send none, and are allowed."""
    origin = websocket.headers.get("Origin")
    if origin is None or allowed(origin) or urlsplit(origin).netloc == websocket.headers.get("Host"):
        return
    raise Refused(Code.ORIGIN_NOT_ALLOWED, f"Pages of {origin} may not use this API.")


class _WebSocketClient:
    """A `Reader` of a WebSocket. Its frames together have the limits of a request's body."""

    def __init__(self, websocket: WebSocket, dialect: Dialect, profile: SandboxProfile) -> None:
        self._websocket = websocket
        self._dialect = dialect
        self._profile = profile
        self._bytes_left = longest_body(profile)
        self._stdin = 0

    async def start(self) -> Execution:
        """The execution that the client's first frames ask for."""
        while (execution := await self._dialect.start(await self._text())) is None:
            pass
        self._stdin = len(execution.stdin.encode())
        return execution

    async def commands(self) -> AsyncIterator[Command]:
        """See `Reader`."""
        while True:
            command = self._dialect.command(await self._text())
            if isinstance(command, Input):
                self._stdin += len(command.data.encode())
                admit_input(self._stdin, self._profile)
            if command is not None:
                yield command

    def frames(self, said: Said[Happening]) -> Iterable[bytes]:
        """See `Reader`."""
        for frame in self._dialect.events(said.message):
            yield said.json if frame is said.message else frame.model_dump_json().encode()

    async def write(self, frame: bytes) -> None:
        """See `Reader`."""
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
    """Send the last frame, if any, and the close code. A client that has disconnected is ignored."""
    with contextlib.suppress(*GONE):
        if last is not None:
            await websocket.send_text(last.model_dump_json())
        await websocket.close(close.code, close.reason)


def sent_event(name: str, json: bytes) -> bytes:
    """A server-sent event of this name, with one line of JSON as its data."""
    return b"event: %s\ndata: %s\n\n" % (name.encode(), json)
