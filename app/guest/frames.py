"""The frames between the executor and PID 1 of a sandbox: a type, a length of 32 bits, big-endian, and the payload.

Where a payload has several texts, a NUL is between them: none of them can hold one.
"""

SOURCE, RESULTS, JOB, INPUT, END_OF_INPUT, SIGNAL = b"C", b"W", b"J", b"I", b"E", b"S"
"""To the sandbox: a file (name, content), how many files to give back at most and with how many bytes (numbers) and
which (patterns), what to run (the main file, arguments), bytes for its stdin, the end of its stdin, the name of a
signal."""
READY, STDOUT, STDERR, FILE, REFUSED, EXIT = b"R", b"1", b"2", b"F", b"N", b"X"
"""From the sandbox: it waits for a job, bytes of output, a result file (name, content), the results that are not given
back (for each its name and the reason), its end (for each figure that is known its name and its value)."""

LONGEST = 4 * 1024 * 1024
"""Bytes of payload that no honest frame exceeds."""
_HEADER = 5
_NUL = "\0"


class BadFrame(Exception):
    """The other side doesn't speak the protocol."""


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """One frame as it goes over the wire."""
    return kind + len(payload).to_bytes(4, "big") + payload


def join(*texts: str) -> bytes:
    """A payload of texts."""
    return _NUL.join(texts).encode()


def split(payload: bytes) -> list[str]:
    """The texts of a payload, or `BadFrame`. There is at least one, which may be empty."""
    try:
        return payload.decode().split(_NUL)
    except UnicodeDecodeError as error:
        raise BadFrame(f"a text that is not UTF-8: {error}") from None


def pairs(payload: bytes) -> dict[str, str]:
    """Names and what is said of each, or `BadFrame`."""
    texts = split(payload) if payload else []
    if len(texts) % 2:
        raise BadFrame("a name without what is said of it")
    return dict(zip(texts[::2], texts[1::2], strict=True))


class Frames:
    """Finds the frames in a stream that is cut anywhere."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[bytes, bytes]]:
        """Type and payload of each frame that `data` completes, or `BadFrame`."""
        self._buffer += data
        found = []
        while len(self._buffer) >= _HEADER:
            length = int.from_bytes(self._buffer[1:_HEADER], "big")
            if length > LONGEST:
                raise BadFrame(f"a frame of {length} bytes")
            end = _HEADER + length
            if len(self._buffer) < end:
                break
            found.append((bytes(self._buffer[:1]), bytes(self._buffer[_HEADER:end])))
            del self._buffer[:end]
        return found
