"""Reads the output of a sandbox while its code runs, and what its PID 1 says."""

import asyncio
import os

from app.executor.engine import Visitor
from app.executor.processes import STATUS, STDERR, STDOUT, Child, Pipes
from app.executor.transcript import Recorder, Stream

_CHUNK = 65536
_STREAMS = {STDOUT: Stream.STDOUT, STDERR: Stream.STDERR}


class Listener:
    """Passes a sandbox's output to a recorder and a visitor, until the recorder is full or the code has ended.

    `said` has the bytes that PID 1 has written, at most `size`. With so many it has said that no other process runs any
    more; unless `doubted`, where the code could have written them too.
    """

    def __init__(self, pipes: Pipes, recorder: Recorder, visitor: Visitor, size: int, *, doubted: bool) -> None:
        self._open = {number: pipes.ours[number] for number in (STDOUT, STDERR, STATUS) if number in pipes.ours}
        self._recorder = recorder
        self._visitor = visitor
        self._size = size
        self._doubted = doubted
        self._over = asyncio.Event()
        self.started = asyncio.Event()
        """Set once signals reach the code."""
        self.said = b""

    @property
    def told(self) -> bool:
        """Whether PID 1 has said that the code has ended."""
        return len(self.said) == self._size and not self._doubted

    async def listen(self, process: Child) -> None:
        """Return when no process but PID 1 runs and all output is read, or when there was too much of it."""
        loop = asyncio.get_running_loop()
        process.call_at_end(self._over.set)
        for number, descriptor in self._open.items():
            loop.add_reader(descriptor, self._read, number)
        try:
            await self._over.wait()
            # The rest is in the pipes.
            for number in list(self._open):
                while number in self._open and self._read(number):
                    pass
        finally:
            for descriptor in self._open.values():
                loop.remove_reader(descriptor)

    def _read(self, number: int) -> bool:
        """Read once. Returns whether there was something, and room for it."""
        try:
            data = os.read(self._open[number], self._size - len(self.said) if number == STATUS else _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._open.pop(number))
            return False
        if number == STATUS:
            return self._hear(data)
        if text := self._recorder.write(_STREAMS[number], data):
            self._visitor.output(_STREAMS[number], text)
        if self._recorder.truncated:
            self._over.set()
        return not self._recorder.truncated

    def _hear(self, data: bytes) -> bool:
        self.said += data
        self.started.set()
        if self.told:
            self._over.set()
        return True
