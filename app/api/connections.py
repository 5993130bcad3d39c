"""uvicorn's HTTP and WebSocket protocols, with limits on the memory that one connection can use.

A connection that exceeds a limit is closed. Requests that never reach the application are refused with problem
documents.
"""

import asyncio
import re
import uuid
from http import HTTPStatus
from typing import Any

import httptools
from starlette.requests import HTTPConnection
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.datastructures import Headers
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request
from websockets.server import ServerProtocol

from app.process.correlation import REQUEST_ID
from app.wire.joined_writes import JoinedHttp
from app.wire.problems import Code, Refused, problem_response

LONGEST_HEAD = 32 * 1024
"""Bytes of a request's first line and headers together. Up to two slices more may be accepted."""
_LONGEST_METHOD = 64
"""More bytes than a method has with the space after it."""
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
_MALFORMED = Refused(Code.MALFORMED_REQUEST, "What was sent is not an HTTP/1.1 request.")
_URI_TOO_LONG = Refused(Code.URI_TOO_LONG, f"The URL is longer than {LONGEST_HEAD} bytes.")
_UNKNOWN_METHOD = Refused(Code.METHOD_NOT_ALLOWED, "No resource has this method.")
_REQUEST_LINE = re.compile(rb"[!#-'*+\-.^-z|~\w]+ [!-~]+ HTTP/1\.[01]\r?\n")
_HEADERS = {"Connection": "close", "X-Content-Type-Options": "nosniff"}


def abort(connection: HTTPConnection) -> None:
    """Close this request's connection at once and discard what the client has not read."""
    connection.scope["state"][_ABORT]()


def stopping(websocket: HTTPConnection) -> asyncio.Event:
    """Set when the server is told to stop. A WebSocket that is open for longer than an execution ends then."""
    event: asyncio.Event = websocket.scope["state"][_STOPPING]
    return event


class HttpConnection(JoinedHttp):
    """HTTP/1.1 by httptools. Pipelined requests wait unparsed, at most 256 KB and one slice of them."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn
        """Start with nothing received, and give `abort` the connection."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _ABORT: transport.abort}
        self.url = b""
        self._unparsed = bytearray()
        self._in_head = False
        self._beside_body = 0
        self._becomes_websocket = False
        self._fault: Refused | None = None

    def data_received(self, data: bytes) -> None:
        """Queue the data and parse as much of it as belongs to one request."""
        self._unparsed += data
        self._parse()

    def on_message_begin(self) -> None:
        """See uvicorn."""
        self._in_head = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Add a header. Trailers are ignored: one must not take the place of a header that the edge has set."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Refuse a request without a host, or with two, as RFC 9112 demands."""
        self._in_head, self._beside_body = False, 0
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            raise ValueError(f"{hosts} hosts")
        # A malformed handshake is left to the application: it refuses a GET of a WebSocket with a problem document.
        handshake = self.parser.should_upgrade() and super()._should_upgrade()
        self._becomes_websocket = handshake and _is_handshake(self.parser.get_method().decode(), self.headers)
        if not self._ignores_upgrade:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See uvicorn."""
        self._beside_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """See uvicorn."""
        self._beside_body = 0
        if not self._ignores_upgrade:
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """Go on with what was received meanwhile."""
        super().on_response_complete()
        self.loop.call_soon(self._parse)

    def _parse(self) -> None:
        """Parse slice by slice until a request is complete, or the connection is closed or becomes a WebSocket."""
        while self._unparsed and self._free:
            self._unset_keepalive_if_required()
            data = bytes(self._unparsed[:_SLICE])
            del self._unparsed[:_SLICE]
            self._beside_body += len(data)
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if not self._ignores_upgrade:
                    self.handle_websocket_upgrade()
                elif self.parser.get_method() == b"CONNECT":
                    self._fault = _UNKNOWN_METHOD
                else:
                    self._unparsed[:0] = self._head_without_upgrade() + data[upgrade.args[0] :]
                    self._renew_parser()
            except httptools.HttpParserInvalidMethodError:
                begins_here = self._beside_body == len(data)
                self._fault = _UNKNOWN_METHOD if begins_here and _REQUEST_LINE.match(data) else _MALFORMED
            except httptools.HttpParserError:
                self._fault = _MALFORMED
            if self._beside_body > LONGEST_HEAD:
                self._fault = _URI_TOO_LONG if len(self.url) > LONGEST_HEAD - _LONGEST_METHOD else _MALFORMED
            if self._fault:
                self._unparsed.clear()
                if self.cycle and self.cycle.more_body:
                    # The request itself is at fault.
                    self._refuse(self._fault)
        if self._fault and self._free:
            self._refuse(self._fault)
        if self._unparsed:
            self.flow.pause_reading()

    @property
    def _free(self) -> bool:
        """Whether more may be parsed: the connection is open, and no request that is complete awaits its answer."""
        ours = not self.transport.is_closing() and self.transport.get_protocol() is self
        return ours and (self.cycle is None or self.cycle.response_complete or self.cycle.more_body)

    def _refuse(self, fault: Refused) -> None:
        """Answer what can't be parsed, unless another answer has begun."""
        if self.cycle and self.cycle.response_started and not self.cycle.response_complete:
            self.transport.close()
            return
        self.transport.write(_answer(fault))
        self.transport.write_eof()
        self.transport.set_protocol(_Discarding(self.transport))
        self.transport.resume_reading()
        # The application has no client any more.
        self.connection_lost(ConnectionAbortedError(fault.problem.detail))

    def _renew_parser(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        # As uvicorn does: a request may follow on one that asks to close the connection, and is not answered.
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)

    @property
    def _ignores_upgrade(self) -> bool:
        """Whether this request asks for an upgrade that is not ours. httptools takes it for one without a body."""
        return bool(self.parser.should_upgrade()) and not self._becomes_websocket

    def _head_without_upgrade(self) -> bytes:
        """The request's head, to be parsed as one that asks for no upgrade, with its body."""
        version = self.parser.get_http_version().encode()
        lines = [b" ".join((self.parser.get_method(), self.url, b"HTTP/" + version))]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

    def _should_upgrade(self) -> bool:
        """See uvicorn, which asks several times for each request."""
        return self._becomes_websocket


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
    allow = {"Allow": "GET, POST"} if refused is _UNKNOWN_METHOD else {}
    response = problem_response(refused.problem, {**_HEADERS, **allow, REQUEST_ID: uuid.uuid4().hex})
    lines = [f"HTTP/1.1 {refused.problem.status} {refused.problem.title}".encode()]
    lines += [name + b": " + value for name, value in response.raw_headers]
    return b"\r\n".join([*lines, b"", bytes(response.body)])


def _is_utf8(frames: list[bytes]) -> bool:
    try:
        b"".join(frames).decode()
    except UnicodeDecodeError:
        return False
    return True
