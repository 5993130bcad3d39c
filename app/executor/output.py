"""Reads the output of a sandbox while its code runs."""

import asyncio
import os

from app.executor.engine import Visitor
from app.executor.processes import STDERR, STDOUT, Child, Pipes
from app.executor.transcript import Recorder, Stream

_CHUNK = 65536
_STREAMS = {STDOUT: Stream.STDOUT, STDERR: Stream.STDERR}


class Listener:
    """Passes a sandbox's output to a recorder and a visitor, until the recorder is full."""

    def __init__(self, pipes: Pipes, recorder: Recorder, visitor: Visitor) -> None:
        self._open = {number: pipes.ours[number] for number in _STREAMS if number in pipes.ours}
        self._recorder = recorder
        self._visitor = visitor
        self._too_much = asyncio.Event()

    async def listen(self, process: Child) -> None:
        """Return when the process has ended and its output is read, or when there was more than the recorder keeps."""
        loop = asyncio.get_running_loop()
        for number, descriptor in self._open.items():
            loop.add_reader(descriptor, self._read, number)
        ends = [asyncio.create_task(process.wait()), asyncio.create_task(self._too_much.wait())]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            # All processes end with PID 1. The rest of their output is in the pipes.
            for number in list(self._open):
                while number in self._open and self._read(number):
                    pass
        finally:
            for descriptor in self._open.values():
                loop.remove_reader(descriptor)
            for end in ends:
                end.cancel()

    def _read(self, number: int) -> bool:
        """Read once. Returns whether there was output, and room to record it."""
        try:
            data = os.read(self._open[number], _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            asyncio.get_running_loop().remove_reader(self._open.pop(number))
            return False
        if text := self._recorder.write(_STREAMS[number], data):
            self._visitor.output(_STREAMS[number], text)
        if self._recorder.truncated:
            self._too_much.set()
        return not self._recorder.truncated
