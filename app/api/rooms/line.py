"""One WebSocket of a member of a room."""

import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from app.api.clients import Client
from app.api.connections import abort, stopping
from app.api.rooms.settings import RoomsOptions
from app.api.streaming import GONE
from app.wire.problems import Code, Refused

_KB = 1024
_MOST_UNREAD = 2 * 1024 * _KB
"""Bytes that may wait for a member. Members wait for the same bytes, which are in memory once."""
_OWN_CODES = 4000
"""WebSockets have close codes from 4000 for applications: here, that and the HTTP status."""
_RESTART = 1012
_PROTOCOL = "vps-room"
_TOKEN = "token."  # noqa: S105 - a prefix


class ComeBack(Exception):
    """Closes the WebSocket so that its client connects again."""


class Line:
    """What is sent to a member waits here, so that one who doesn't read keeps nobody waiting; it is cut off."""

    def __init__(self, websocket: WebSocket, client: Client, may_edit: bool, options: RoomsOptions) -> None:
        self.client = client
        self.may_edit = may_edit
        self.told_all = False
        """Whether the member has sent what its document had when it came."""
        self._websocket = websocket
        self._options = options
        self._outbox, self._waiting = anyio.create_memory_object_stream[bytes | str](math.inf)
        self._unread = 0
        self._gone = False
        """Whether nothing can be sent any more. What the member has sent before is still read."""
        self._due = 0.0
        self._all = anyio.CancelScope()

    def put(self, frame: bytes | str) -> None:
        """Send a message: binary, or text."""
        if self._gone:
            return
        self._unread += len(frame)
        if self._unread > _MOST_UNREAD:
            abort(self._websocket)
            self._all.cancel()
        elif not self._all.cancel_called:
            self._outbox.send_nowait(frame)

    async def messages(self, kind: type[bytes] | type[str]) -> AsyncIterator[Any]:
        """What the member sends, in the order and at the pace of the settings; `Refused` for what may not be sent."""
        field = "bytes" if kind is bytes else "text"
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise WebSocketDisconnect(message["code"])
            content = message.get(field)
            if content is None:
                raise Refused(Code.INVALID_REQUEST, f"The messages of this WebSocket are {field}.")
            if (size := len(content)) > self._options.message_kb * _KB:
                raise Refused(Code.BODY_TOO_LONG, f"A message may have {self._options.message_kb} KB.")
            await self.pace(size)
            yield content

    async def pace(self, size: int) -> None:
        """Wait until the member may send or be sent a message of so many bytes."""
        options, now = self._options, anyio.current_time()
        seconds = max(1 / options.messages_per_second, size / (options.kb_per_second * _KB))
        self._due = max(self._due, now - options.message_kb / options.kb_per_second) + seconds
        await anyio.sleep(max(0.0, self._due - now))

    async def hold(self, talk: Callable[[], Awaitable[None]]) -> None:
        """Talk with the member, and send what is put, until one of both leaves. What `talk` raises is raised."""
        ended: Exception | None = None
        with self._all:
            async with self._outbox, self._waiting, anyio.create_task_group() as group:
                group.start_soon(self._write)
                group.start_soon(self._stop)
                try:
                    await talk()
                except Exception as error:
                    ended = error
                group.cancel_scope.cancel()
        if ended is not None:
            raise ended

    async def _write(self) -> None:
        try:
            async for frame in self._waiting:
                if isinstance(frame, bytes):
                    await self._websocket.send_bytes(frame)
                else:
                    await self._websocket.send_text(frame)
                self._unread -= len(frame)
        except GONE:
            self._gone = True

    async def _stop(self) -> None:
        await stopping(self._websocket).wait()
        await close(self._websocket, None)
        self._all.cancel()


async def close(websocket: WebSocket, refused: Refused | None) -> None:
    """Close with the code of a refusal; None: so that the client connects again."""
    code, reason = _RESTART, ""
    if refused is not None:
        code, reason = _OWN_CODES + refused.problem.status, refused.problem.code
    with contextlib.suppress(*GONE):
        # A script can read the reason of a refusal only on an open WebSocket.
        if websocket.application_state is WebSocketState.CONNECTING:
            await websocket.accept(chosen(websocket))
        if websocket.application_state is WebSocketState.CONNECTED:
            await websocket.close(code, reason)


def chosen(websocket: WebSocket) -> str | None:
    """The subprotocol that is answered."""
    return _PROTOCOL if _PROTOCOL in websocket.scope["subprotocols"] else None


def token_of(websocket: WebSocket) -> str:
    """The token that comes as a subprotocol, which pages can set: not in the URL, which is logged. Empty for none."""
    names: list[str] = websocket.scope["subprotocols"]
    return next((name.removeprefix(_TOKEN) for name in names if name.startswith(_TOKEN)), "")
