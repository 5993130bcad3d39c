"""The output of an execution, recorded up to a limit while it arrives."""

import codecs
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum


class Stream(IntEnum):
    """The stream that bytes were written to."""

    STDOUT = 1
    STDERR = 2


@dataclass(frozen=True)
class Transcript:
    """Output as text. `output` is both streams in order of arrival; `truncated` says whether bytes were dropped."""

    output: str
    stdout: str
    stderr: str
    truncated: bool


class Recorder:
    """Keeps the first `limit` bytes, both streams counted together.

    Each stream is decoded as one UTF-8 text, however it was cut into chunks; invalid bytes become U+FFFD. A character
    that the limit cuts in two is dropped.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._pieces: list[tuple[Stream, str]] = []
        self._decoders = {stream: codecs.getincrementaldecoder("utf-8")("replace") for stream in Stream}
        self.truncated = False

    def write(self, stream: Stream, chunk: bytes) -> str:
        """Record what fits of the chunk, and return the text that it completes. Sets `truncated` when bytes are
        dropped.
        """
        kept = chunk[: self._left]
        self._left -= len(kept)
        self.truncated = self.truncated or len(kept) < len(chunk)
        return self._keep(stream, self._decoders[stream].decode(kept))

    def finish(self) -> Iterator[tuple[Stream, str]]:
        """The last text of each stream: U+FFFD for an unfinished character, unless the limit has cut it."""
        if not self.truncated:
            for stream, decoder in self._decoders.items():
                if text := self._keep(stream, decoder.decode(b"", final=True)):
                    yield stream, text

    def transcript(self) -> Transcript:
        """All that was recorded so far."""
        return Transcript(
            output="".join(text for _, text in self._pieces),
            stdout="".join(text for stream, text in self._pieces if stream is Stream.STDOUT),
            stderr="".join(text for stream, text in self._pieces if stream is Stream.STDERR),
            truncated=self.truncated,
        )

    def _keep(self, stream: Stream, text: str) -> str:
        self._pieces.append((stream, text))
        return text
