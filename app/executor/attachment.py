"""The conversation with PID 1 of a sandbox: frames both ways, inside the Docker Engine's multiplexed stream."""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

from app.executor.transcript import Stream
from app.guest.frames import Frames, frame

_HEADER = 8
"""Bytes before each piece: the stream's number, three zeros, and the payload's length as 32 bits, big-endian."""
_COMPLAINT = 2048
"""Bytes kept of what PID 1 itself says on stderr, which is the reason of its failure."""


class Multiplexed:
    """Splits the engine's stream. Payloads are passed on as they arrive, never gathered."""

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


class Connection(Protocol):
    """Bytes both ways. `read` returns none at the end."""

    async def write(self, data: bytes) -> None:
        """Send all of it."""

    async def read(self) -> bytes:
        """What has arrived."""

    async def leave(self) -> None:
        """End what is sent, and return when the other side has ended, or has not for too long."""

    def close(self) -> None:
        """Hang up."""


class Attachment:
    """Frames over a connection, which is owned from here on. One may send while another receives."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._multiplexed = Multiplexed()
        self._frames = Frames()
        self._arrived: deque[tuple[bytes, bytes]] = deque()
        self._complaint = bytearray()

    @property
    def complaint(self) -> str:
        """What PID 1 has said on its own stderr."""
        return self._complaint.decode(errors="replace").strip()

    async def send(self, *frames: tuple[bytes, bytes]) -> None:
        """Send frames, each a type and a payload, in one go."""
        await self._connection.write(b"".join(frame(kind, payload) for kind, payload in frames))

    async def receive(self) -> tuple[bytes, bytes] | None:
        """The next frame; None when no more will come. May be cancelled: nothing is lost. Else `BadFrame`."""
        while not self._arrived:
            data = await self._connection.read()
            if not data:
                return None
            for stream, piece in self._multiplexed.feed(data):
                if stream is Stream.STDOUT:
                    self._arrived += self._frames.feed(piece)
                else:
                    self._complaint = (self._complaint + piece)[-_COMPLAINT:]
        return self._arrived.popleft()

    async def leave(self) -> None:
        """Return when PID 1, which is told that no more will come, has ended, or has not for too long."""
        await self._connection.leave()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
