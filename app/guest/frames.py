"""The frames between the executor and PID 1 of a sandbox: a type, a length of 32 bits, big-endian, and the payload."""

from collections.abc import Iterator

JOB, INPUT, END_OF_INPUT, SIGNAL = b"J", b"I", b"E", b"S"
"""To the sandbox: what to run (JSON), bytes for its stdin, the end of its stdin, the name of a signal."""
READY, STDOUT, STDERR, FILE, EXIT = b"R", b"1", b"2", b"F", b"X"
"""From the sandbox: it waits for a job, bytes of output, a result file (a line of JSON, then bytes), its end (JSON)."""

LONGEST = 4 * 1024 * 1024
"""Bytes of payload that no honest frame exceeds."""
_HEADER = 5


class BadFrame(Exception):
    """The other side doesn't speak the protocol."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame as it goes over the wire."""
    return kind + len(payload).to_bytes(4, "big") + payload


class Frames:
    """Finds the frames in a stream that is cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Type and payload of each frame that `data` completes, or `BadFrame`."""
        self._buffer += data
        while len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[1:_HEADER], "big")
            if length > LONGEST:
                raise BadFrame(f"a frame of {length} bytes")
            end = _HEADER + length
            if len(self._buffer) < end:
                return
            kind, payload = bytes(self._buffer[:1]), bytes(self._buffer[_HEADER:end])
            del self._buffer[:end]
            yield kind, payload
