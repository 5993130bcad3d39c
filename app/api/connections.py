"""uvicorn's HTTP and WebSocket protocols, with limits on the memory that one connection can use.

A connection that exceeds a limit is closed. Requests that never reach the application are refused with problem
documents.
"""

import asyncio
import uuid
from http import HTTPStatus
from typing import Any

import h11
from starlette.requests import HTTPConnection
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.process.correlation import REQUEST_ID
from app.wire.problems import Code, Refused, problem_response

LONGEST_HEAD = 32 * 1024
"""Bytes of a request's first line and headers together. Up to _SLICE more may be accepted."""
_SLICE = 4096
"""Bytes that are parsed at once. The event loop reads up to 256 KB at a time. Parsed into empty frames, compressed
messages or header lines, that can take up to 1,000 times as much memory."""
_MOST_PONGS = 100
"""Pongs queued behind output that the client doesn't read. Clients usually ping every 20 to 60 seconds."""
_MOST_DISCARDED = 1024 * 1024
"""Bytes that are read from a client after its request was refused."""
_DISCARD_SECONDS = 2
"""How long a client has to read a refusal and close its end."""
_ABORT = "abort"
_STOPPING = "stopping"
_HEADERS = {"Connection": "close", "X-Content-Type-Options": "nosniff"}


def abort(connection: HTTPConnection) -> None:
    """Close this request's connection at once and discard what the client has not read."""
    connection.scope["state"][_ABORT]()


def stopping(websocket: HTTPConnection) -> asyncio.Event:
    """Set when the server is told to stop. A WebSocket that is open for longer than an execution ends then."""
    event: asyncio.Event = websocket.scope["state"][_STOPPING]
    return event


class HttpConnection(H11Protocol):
    """HTTP/1.1 by h11. Pipelined requests wait unparsed, at most 256 KB of them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Limit the length of a request's head, and give `abort` the connection."""
        super().connection_made(transport)
        self.conn = h11.Connection(h11.SERVER, LONGEST_HEAD)
        self.app_state = {**self.app_state, _ABORT: transport.abort}

    def data_received(self, data: bytes) -> None:
        """Parse slice by slice until the connection is closed or upgraded to a WebSocket."""
        for start in range(0, len(data), _SLICE):
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            super().data_received(data[start : start + _SLICE])

    def send_400_response(self, msg: str) -> None:
        """Answer a request that h11 can't parse. uvicorn calls this; `msg` is its log message."""
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            refused = self._refusal()
            self.transport.write(_answer(refused))
            self.transport.write_eof()
            self.transport.set_protocol(_Discarding(self.transport))
            self.transport.resume_reading()
            # The application has no client any more.
            self.connection_lost(ConnectionAbortedError(refused.problem.detail))
        else:
            self.transport.close()

    def _should_upgrade(self) -> bool:
        """Leave a malformed handshake to the application: it refuses a GET of a WebSocket with a problem document."""
        return super()._should_upgrade() and _is_handshake(self.scope["method"], self.headers)

    def _refusal(self) -> Refused:
        head, _ = self.conn.trailing_data
        if self.conn.our_state is h11.IDLE and len(head) > LONGEST_HEAD and b"\n" not in head:
            return Refused(Code.URI_TOO_LONG, f"The URL is longer than {LONGEST_HEAD} bytes.")
        return Refused(Code.MALFORMED_REQUEST, "What was sent is not an HTTP/1.1 request.")


class WebSocketConnection(WebSocketsSansIOProtocol):
    """A WebSocket. Frames stay unparsed until the application has received the messages before them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with nothing received."""
        super().connection_made(transport)
        self._unparsed = bytearray()
        self._message = bytearray()
        self._pongs = 0
        self._scheduled = False
        self._stopping = asyncio.Event()
        self.app_state = {**self.app_state, _STOPPING: self._stopping}

    def shutdown(self) -> None:
        """Let an execution end when the server is told to stop, as on HTTP: uvicorn would close the WebSocket."""
        self._stopping.set()
        if not self.handshake_complete:
            super().shutdown()

    def data_received(self, data: bytes) -> None:
        """Queue the data and parse as much as the application can take."""
        self._unparsed += data
        self._parse()

    async def receive(self) -> Any:
        """The next message for the application. More data is parsed once it is taken."""
        message = await super().receive()
        self._parse()
        return message

    async def send(self, message: Any) -> None:
        """Send the application's message. After a close frame, unparsed data may contain the client's close frame."""
        await super().send(message)
        # After a denial response, uvicorn would log that the handshake was not completed.
        self.handshake_complete |= self.close_sent
        self._parse()

    def handle_cont(self, event: Frame) -> None:
        """Join the fragments of a message as they arrive: a list of them would grow even with empty fragments."""
        self._message += b"".join(self.frames) + event.data
        self.frames = []
        if event.fin:
            self.frames = [bytes(self._message)]
            self._message.clear()
            self.send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer with a pong, or close the connection when _MOST_PONGS are queued for a client that doesn't read."""
        self._pongs = 0 if self.writable.is_set() else self._pongs + 1
        if self._pongs > _MOST_PONGS:
            self.transport.abort()
        else:
            super().handle_ping()

    def send_receive_event_to_app(self) -> None:
        """Pass a message on. Text that is not UTF-8 closes the connection, without the error that uvicorn logs."""
        if self.curr_msg_data_type == "text" and not _is_utf8(self.frames):
            self.conn.send_close(CloseCode.INVALID_DATA)
            self.handle_parser_exception()
        else:
            super().send_receive_event_to_app()

    def _parse(self) -> None:
        """Parse one slice, and schedule the next one, as long as the application takes the messages."""
        self._scheduled = False
        if self.transport.is_closing():
            return
        if self._unparsed and self._taken:
            data = bytes(self._unparsed[:_SLICE])
            del self._unparsed[:_SLICE]
            super().data_received(data)
        if self.conn.handshake_exc and not self.handshake_initiated:
            self.transport.write(_answer(Refused(Code.MALFORMED_REQUEST, "The WebSocket's handshake is malformed.")))
            self.transport.close()
            return
        if self._unparsed and not self.read_paused:
            self.read_paused = True
            self.transport.pause_reading()
        elif self.read_paused and not self._unparsed and self._taken:
            self.read_paused = False
            self.transport.resume_reading()
        if self._unparsed and self._taken and not self._scheduled:
            self._scheduled = True
            self.loop.call_soon(self._parse)

    @property
    def _taken(self) -> bool:
        """Whether the application has received every message, or has closed the WebSocket."""
        return self.queue.empty() or self.close_sent


class _Discarding(asyncio.Protocol):
    """A refused client's connection. What it still sends is read: otherwise the kernel resets the connection when it is
    closed, and the client may lose the refusal."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._left = _MOST_DISCARDED
        self._end = asyncio.get_running_loop().call_later(_DISCARD_SECONDS, transport.abort)

    def data_received(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end.cancel()


def _is_handshake(method: str, headers: list[tuple[bytes, bytes]]) -> bool:
    """Whether a request asks for a WebSocket as RFC 6455 says."""
    given = Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers)
    return ServerProtocol().accept(Request("/", given, method)).status_code == HTTPStatus.SWITCHING_PROTOCOLS


def _answer(refused: Refused) -> bytes:
    response = problem_response(refused.problem, {**_HEADERS, REQUEST_ID: uuid.uuid4().hex})
    lines = [f"HTTP/1.1 {refused.problem.status} {refused.problem.title}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


def _is_utf8(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
