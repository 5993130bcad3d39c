"""HTTP/1.1 over a Unix socket, with connections that are used again. Closing one cancels its request."""

import asyncio
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httptools

from app.wire.joined_writes import JoinedHttp

_KEEP_ALIVE_SECONDS = 60
"""For so long the server keeps a connection without a request."""
SERVER: Mapping[str, Any] = {
    "http": JoinedHttp,
    "timeout_keep_alive": _KEEP_ALIVE_SECONDS,
    "proxy_headers": False,
    "server_header": False,
    "access_log": False,
    "log_config": None,
}
"""uvicorn's options for the server."""
_KEPT_SECONDS = _KEEP_ALIVE_SECONDS / 2
"""For so long the client uses it again: later, a request could meet a connection that is being closed."""
_KEPT = 4
"""Most connections that the client keeps."""


class Unreachable(Exception):
    """The server is away, did not answer in time, or does not speak HTTP."""


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    body: bytes


class _Connection(asyncio.Protocol):
    """A connection for one request at a time. httptools calls the methods whose names begin with `on_`."""

    transport: asyncio.Transport
    _answered_at = -math.inf

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._body = bytearray()
        self._answer: asyncio.Future[Answer] | None = None

    @property
    def reusable(self) -> bool:
        """Whether the server has answered, and awaits another request."""
        return not self.transport.is_closing() and time.monotonic() - self._answered_at < _KEPT_SECONDS

    async def ask(self, request: bytes) -> Answer:
        """Send a request and wait for its answer."""
        self._answer, self._answered_at = asyncio.get_running_loop().create_future(), -math.inf
        self.transport.write(request)
        return await self._answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        self.transport = transport  # type: ignore[assignment] # that of a stream socket

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.connection_lost(error)
            self.transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        """See asyncio."""
        if self._answer and not self._answer.done():
            self._answer.set_exception(Unreachable(repr(error) if error else "it closed the connection"))

    def on_body(self, data: bytes) -> None:
        self._body += data

    def on_message_complete(self) -> None:
        if self._answer and not self._answer.done():
            if self._parser.should_keep_alive():
                self._answered_at = time.monotonic()
            self._answer.set_result(Answer(self._parser.get_status_code(), bytes(self._body)))
        self._body.clear()


class UnixHttp:
    """A client of the server that listens on `socket`."""

    def __init__(self, socket: Path) -> None:
        self._socket = str(socket)
        self._kept: list[_Connection] = []

    async def ask(
        self, method: str, target: str, seconds: float, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """The answer to one request; raises `Unreachable` when none has come within `seconds`."""
        head = {"Host": "localhost", "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items())]
        request = "\r\n".join([*lines, "", ""]).encode() + body
        connection: _Connection | None = None
        try:
            async with asyncio.timeout(seconds):
                connection = await self._connected()
                return await connection.ask(request)
        except OSError as error:  # TimeoutError is an OSError
            raise Unreachable(repr(error)) from error
        finally:
            if connection and connection.reusable and len(self._kept) < _KEPT:
                self._kept.append(connection)
            elif connection:
                connection.transport.abort()

    async def _connected(self) -> _Connection:
        while self._kept:
            if (connection := self._kept.pop()).reusable:
                return connection
            connection.transport.abort()
        _, connection = await asyncio.get_running_loop().create_unix_connection(_Connection, self._socket)
        return connection
