"""The conversation with a sandbox: its stdin one way, its framed stdout and stderr the other."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, Iterator

from app.executor.transcript import Stream

_HEADER = 8
"""Bytes before each frame: the stream's number, three zeros, and the payload's length as 32 bits, big-endian."""
_READ = 65536


class FrameParser:
    """Splits the Docker Engine's multiplexed stream. Payloads are passed on as they arrive, never gathered."""

    def __init__(self) -> None:
        self._header = bytearray()
        self._left = 0

    def feed(self, data: bytes) -> Iterator[tuple[Stream, bytes]]:
        """The pieces of payload in `data`, which may begin and end anywhere."""
        while data:
            if self._left == 0:
                needed = _HEADER - len(self._header)
                self._header += data[:needed]
                data = data[needed:]
                if len(self._header) < _HEADER:
                    return
                self._stream = Stream(self._header[0])
                self._left = int.from_bytes(self._header[4:])
                self._header.clear()
            payload, data = data[: self._left], data[self._left :]
            self._left -= len(payload)
            if payload:
                yield self._stream, payload


class Attachment:
    """An attached connection, owned from here on. Both directions may be used at the same time."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection

    async def send(self, data: bytes) -> None:
        """Write to the sandbox's stdin, then end it. A sandbox that stops reading is no error."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._connection, data)
            self._connection.shutdown(socket.SHUT_WR)

    async def receive(self) -> AsyncGenerator[tuple[Stream, bytes]]:
        """The output in pieces, until every process that could write has gone."""
        loop = asyncio.get_running_loop()
        parser = FrameParser()
        while True:
            try:
                data = await loop.sock_recv(self._connection, _READ)
            except ConnectionResetError:
                return
            if not data:
                return
            for piece in parser.feed(data):
                yield piece

    def close(self) -> None:
        """Hang up, for every copy of the socket: the engine waits for its reader before it removes a sandbox."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
