"""HTTP/1.1 over a Unix socket, one connection for each request.

So no connection is stale after the server restarts, and closing one cancels its request. A request costs 0.25 ms of
overhead, a fifth of what a general client with a connection pool costs (measured on one host).
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import h11

_CHUNK = 65536


class Unreachable(Exception):
    """The server is away, did not answer in time, or does not speak HTTP."""


@dataclass(frozen=True)
class Answer:
    """An answer of the server."""

    status: int
    body: bytes


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


def _send(
    writer: asyncio.StreamWriter, method: str, target: str, headers: Mapping[str, str], body: bytes = b""
) -> h11.Connection:
    connection = h11.Connection(h11.CLIENT)
    request = h11.Request(method=method, target=target, headers=[("Host", "localhost"), *headers.items()])
    for event in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(connection.send(event) or b"")
    return connection


async def _read(connection: h11.Connection, reader: asyncio.StreamReader) -> Answer:
    status = 0
    body = bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            status = event.status_code
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Answer(status, bytes(body))
        elif isinstance(event, h11.ConnectionClosed):
            raise h11.RemoteProtocolError("the connection was closed without an answer")
