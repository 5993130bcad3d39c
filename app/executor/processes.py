"""Child processes of the executor: started by posix_spawn, watched by pidfd, and reaped once."""

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Sequence

import anyio

STDIN, STDOUT, STDERR, STATUS = range(4)
"""The descriptors of PID 1 of a sandbox."""
_REAPED = 0
"""The exit code told for a process that another one has reaped."""
_RESET = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
"""Signals set to their default for programs, which inherit ignored ones: Python ignores SIGPIPE, for example."""


class Pipes:
    """The pipes between the executor and a sandbox. `ours` are this process's ends, `theirs` the sandbox's."""

    def __init__(self, numbers: Sequence[int] = (STDIN, STDOUT, STDERR, STATUS)) -> None:
        self.ours: dict[int, int] = {}
        self.theirs: dict[int, int] = {}
        for number in numbers:
            reader, writer = os.pipe2(os.O_CLOEXEC)
            self.ours[number], self.theirs[number] = (writer, reader) if number == STDIN else (reader, writer)
            os.set_blocking(self.ours[number], False)

    @classmethod
    def none(cls) -> "Pipes":
        """No pipes, for a sandbox that was not started."""
        return cls(())

    @classmethod
    def merged(cls) -> "Pipes":
        """With one pipe for stdout and stderr, which keeps the order of what is written to either."""
        pipes = cls((STDIN, STDOUT, STATUS))
        pipes.theirs[STDERR] = os.dup(pipes.theirs[STDOUT])
        return pipes

    def hand_over(self) -> None:
        """Close the sandbox's ends, once its process has inherited them."""
        for descriptor in self.theirs.values():
            os.close(descriptor)
        self.theirs.clear()

    def close_ours(self, number: int) -> None:
        """Close one of this process's ends, unless it is closed already."""
        if (descriptor := self.ours.pop(number, None)) is not None:
            os.close(descriptor)

    def take(self, number: int, most: int) -> bytes:
        """Read up to `most` bytes without waiting; empty if the pipe is empty or closed."""
        with contextlib.suppress(BlockingIOError, KeyError):
            return os.read(self.ours[number], most)
        return b""

    def close(self) -> None:
        """Close all ends."""
        self.hand_over()
        for number in list(self.ours):
            self.close_ours(number)


class Child:
    """A child of this process, or a grandchild whose parent will end before it. It may have ended already."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        try:
            self._descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self._code.set_result(_REAPED)
            return
        asyncio.get_running_loop().add_reader(self._descriptor, self.reap)
        _children[pid] = self

    async def wait(self) -> int:
        """Wait for its end, and return its exit code, or minus a signal's number. 0 if its own parent has reaped it."""
        return await asyncio.shield(self._code)

    def call_at_end(self, do: Callable[[], None]) -> None:
        """Call this when it has ended."""
        self._code.add_done_callback(lambda _: do())

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.signal(signal.SIGKILL)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if not self._code.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    def reap(self) -> None:
        """Take the exit code of the process, which has ended."""
        code = _REAPED
        # A PID 1 that ends before the runtime does is reaped by the runtime.
        with contextlib.suppress(ChildProcessError):
            if ended := os.waitid(os.P_PIDFD, self._descriptor, os.WEXITED):
                code = ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        del _children[self.pid]
        self._code.set_result(code)


_children: dict[int, Child] = {}
"""Children that were not reaped yet, by process id."""


def spawn(command: Sequence[str], pipes: Pipes) -> Child:
    """Start a program with a sandbox's ends of the pipes as its descriptors 0 to 3, or OSError."""
    actions = [(os.POSIX_SPAWN_DUP2, descriptor, number) for number, descriptor in pipes.theirs.items()]
    pid = os.posix_spawn(
        command[0],
        list(command),
        dict(os.environ),
        file_actions=actions,
        setsigmask=(),
        setsigdef=_RESET,
    )
    pipes.hand_over()
    return Child(pid)


def reap_orphans() -> None:
    """Reap ended processes that this one, as PID 1 of its namespace, has inherited: both runtimes leave such."""
    with contextlib.suppress(ChildProcessError):
        while ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if child := _children.get(ended.si_pid):
                child.reap()
            else:
                os.waitid(os.P_PID, ended.si_pid, os.WEXITED)


async def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data` to a pipe, waiting for its reader as needed; or BrokenPipeError."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except BlockingIOError:
            await anyio.wait_writable(descriptor)
