"""Lines that are typed at this terminal."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator


class Keyboard:
    """Reads standard input without a thread, so that waiting for a line can be cancelled without losing input.

    The event loop must be able to watch standard input. If that is a file, only a loop that uses select() can.
    """

    def __init__(self) -> None:
        self._kept = b""

    async def line(self) -> str:
        """The next line with its line feed; an empty text at the end of input (on a terminal: Ctrl+D)."""
        while b"\n" not in self._kept:
            piece = await self._read()
            if not piece:
                rest, self._kept = self._kept, b""
                return rest.decode(errors="replace")
            self._kept += piece
        line, _, self._kept = self._kept.partition(b"\n")
        return line.decode(errors="replace") + "\n"

    async def lines(self) -> AsyncIterator[str]:
        """Lines until the end of input."""
        while line := await self.line():
            yield line

    async def _read(self) -> bytes:
        loop = asyncio.get_running_loop()
        readable = asyncio.Event()
        descriptor = sys.stdin.fileno()
        loop.add_reader(descriptor, readable.set)
        try:
            await readable.wait()
        finally:
            loop.remove_reader(descriptor)
        return os.read(descriptor, 65536)
