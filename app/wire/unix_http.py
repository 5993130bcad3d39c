"""HTTP/1.1 over a Unix socket, one connection for each request.

So no connection is stale after the server restarts, and closing one cancels its request. A request costs 0.25 ms of
overhead, a fifth of what a general client with a connection pool costs (measured on one host).
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h11

_CHUNK = 65536
_SWITCHING_PROTOCOLS = 101


class Unreachable(Exception):
    """The server is away, did not answer in time, or does not speak HTTP."""


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    body: bytes

    def json(self) -> Any:
        """The value that the body holds as JSON, or `ValueError`."""
        return json.loads(self.body)


class Upgraded:
    """A connection after its upgrade from HTTP: bytes both ways. `early` was received together with the answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, early: bytes) -> None:
        self._reader = reader
        self._writer = writer
        self._early = early

    async def write(self, data: bytes) -> None:
        """Send all of `data`; raises `OSError`."""
        self._writer.write(data)
        await self._writer.drain()

    def end(self) -> None:
        """Close the sending side; raises `OSError`. The other side can still be read."""
        self._writer.write_eof()

    async def read(self) -> bytes:
        """The bytes that have arrived, none at the end; raises `OSError`. A cancelled read loses nothing."""
        if self._early:
            early, self._early = self._early, b""
            return early
        return await self._reader.read(_CHUNK)

    def close(self) -> None:
        """Close at once, and drop what was not sent yet."""
        self._writer.transport.abort()


class UnixHttp:
    """A client of the server that listens on `socket`."""

    def __init__(self, socket: Path) -> None:
        self._socket = socket

    async def ask(
        self, method: str, target: str, seconds: float, headers: Mapping[str, str], body: bytes = b""
    ) -> Answer:
        """The answer to one request; raises `Unreachable` when none has come within `seconds`."""
        head = {"Connection": "close", "Content-Length": str(len(body)), **headers}
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    return await _read(_send(writer, method, target, head, body), reader)
                finally:
                    writer.close()
        except (OSError, h11.RemoteProtocolError) as error:  # TimeoutError is an OSError
            raise Unreachable(repr(error)) from error

    async def upgrade(self, method: str, target: str, protocol: str, seconds: float) -> Upgraded | Answer:
        """The connection after its upgrade, or the answer when the server refuses it; raises `Unreachable`."""
        head = {"Connection": "Upgrade", "Upgrade": protocol, "Content-Length": "0"}
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await asyncio.open_unix_connection(self._socket)
                try:
                    connection = _send(writer, method, target, head)
                    answer = await _read(connection, reader)
                except BaseException:
                    writer.close()
                    raise
        except (OSError, h11.RemoteProtocolError) as error:
            raise Unreachable(repr(error)) from error
        if answer.status == _SWITCHING_PROTOCOLS:
            return Upgraded(reader, writer, connection.trailing_data[0])
        writer.close()
        return answer


def _send(
    writer: asyncio.StreamWriter, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> h11.Connection:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method=method, target=target, headers=[("Host", "localhost"), *headers.items()])
    for event in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    return connection


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    """Read one answer. Its body is empty when the server changes the protocol."""
    status = 0
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.InformationalResponse) and event.status_code == _SWITCHING_PROTOCOLS:
            return Answer(event.status_code, b"")
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the connection was closed without an answer")
