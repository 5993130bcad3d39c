"""One sandbox and the one execution that it is for."""

import asyncio
import contextlib
import errno
import os
import signal
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path

import anyio

from app.environments import ENVIRONMENTS
from app.executor import results
from app.executor.cgroups import Group
from app.executor.engine import EngineError, Exhausted, Outcome, Visitor
from app.executor.files import Folder
from app.executor.output import Listener
from app.executor.package_sets import HeldSet
from app.executor.processes import STDERR, STDIN, STDOUT, Child, Pipes, write_all
from app.executor.transcript import Recorder, Transcript
from app.executor.typed import Typed, encoded
from app.profile import SandboxProfile
from app.wire.protocol import Cancel, Command, EndOfInput, Execution, Input, Interrupt, Resize, Status

_KB = 1024
_PIPE = 65536
"""Bytes that a pipe can hold."""
_COMPLAINT = 2048
"""Bytes kept of the error message of a sandbox that does not become ready."""
_READY_SECONDS = 120.0
"""After this time the start of an interpreter has failed. On a busy host, importing pandas has taken 30 s."""
_POLL_SECONDS, _POLLS = 0.002, 8
"""The shortest pause between two checks whether the interpreter waits for its code. As time goes by the pause grows, to
an eighth of the time that has passed, so that the checks do not slow a slow start down."""
_FIRST_USER = 1000
_STATUS, _FULL = struct.Struct("=xi"), 1 << 16
"""What PID 1 writes to descriptor 3: a byte when it has started the command, and at its end the command's wait status.
_FULL is set in the status if the code failed while the limit of processes was reached: see images/executor/init.c."""


class OciSandbox:
    """A `Sandbox`. Its files are below `folder`, and its processes in the control group `group`.

    With `own_kernel` it is gVisor's, where code can write to PID 1's descriptors.
    """

    def __init__(
        self, identity: str, profile: SandboxProfile, slot: int, folder: Path, group: Group, *, own_kernel: bool = False
    ) -> None:
        self.id = identity
        self.slot = slot
        self.folder = folder
        self.root = folder / "root"
        self.group = group
        self.packages: HeldSet | None = None
        self._profile = profile
        self._own_kernel = own_kernel
        self._files = Folder(folder / "tmp", self.user)
        self._waits_for = ""
        self._script: int | None = None
        self._child: Child | None = None
        self._pipes = Pipes.none()
        self._cpu_before = 0.0
        self._ending = False
        self._unused = asyncio.Event()
        self._unused.set()

    @property
    def tmp(self) -> Path:
        """Its /tmp, as a path of the executor's file system."""
        return self._files.place

    @property
    def user(self) -> int:
        """Its user and group id, which no other sandbox has at the same time: the kernel counts many things by user."""
        return _FIRST_USER + self.slot

    def await_code(self, main: str) -> None:
        """Put a FIFO in the place of the script: the interpreter starts, and waits where it opens its script."""
        self._waits_for = main
        self._files.make_fifo(main)

    def place(self, execution: Execution) -> None:
        """Write the execution's files, before the interpreter starts."""
        self._files.write_all(execution.sources)
        if execution.results is not None:
            self._files.make_results()

    def attach(self, child: Child, pipes: Pipes) -> None:
        """Take over PID 1 and the pipes to it."""
        self._child, self._pipes = child, pipes
        self._cpu_before = self.group.cpu_seconds()

    async def ready(self) -> None:
        """Wait until the interpreter waits for its code. Returns at once if it has its code.

        Raises:
            EngineError: it has ended, or is not ready in time. The message has what it wrote to stderr.
        """
        if not self._waits_for:
            return
        ending = asyncio.create_task(self._process.wait())
        started = time.monotonic()
        try:
            with anyio.fail_after(_READY_SECONDS):
                while not self._opened_script():
                    if ending.done():
                        raise EngineError(f"the interpreter has ended before it waited for code: {self._said()}")
                    await asyncio.sleep(max(_POLL_SECONDS, (time.monotonic() - started) / _POLLS))
        except TimeoutError:
            late = f"did not wait for code within {_READY_SECONDS:g} s"
            raise EngineError(f"the interpreter {late}: {self._said()}") from None
        finally:
            ending.cancel()

    async def ended(self) -> None:
        """Return when PID 1 has ended."""
        await self._process.wait()

    async def finish(self, seconds: float) -> str:
        """Wait for the end of the command, or TimeoutError. Returns its stdout, at most as much as a pipe can hold."""
        with anyio.fail_after(seconds):
            await self._process.wait()
        return self._pipes.take(STDOUT, _PIPE).decode()

    async def end(self) -> None:
        """Kill all processes and close all descriptors. A run that is under way fails with EngineError."""
        self._ending = True
        if self._child:
            self._child.kill()
            await self._child.wait()
        await self._unused.wait()
        self._close_script()
        self._pipes.close()

    @property
    def _process(self) -> Child:
        if self._child is None:
            raise EngineError("the sandbox was not started")
        return self._child

    async def run(self, execution: Execution, visitor: Visitor) -> Outcome:
        """See `Sandbox`."""
        self._unused.clear()
        try:
            return await self._run(execution, visitor)
        except OSError as error:
            raise EngineError(f"the sandbox can't be used: {error}") from error
        finally:
            self._unused.set()

    async def _run(self, execution: Execution, visitor: Visitor) -> Outcome:
        recorder = Recorder(self._profile.output_kb * _KB)
        listener = Listener(self._pipes, recorder, visitor, _STATUS.size, doubted=self._own_kernel)
        visitor.started(self.id)
        started = time.monotonic()
        status: Status | None = Status.TIMEOUT
        with anyio.move_on_after(execution.timeout or self._profile.timeout_seconds), anyio.CancelScope() as wanted:
            try:
                if self._waits_for:
                    await self._hand_over(execution)
                async with self._obeying(execution, visitor.commands, listener.started, wanted):
                    await listener.listen(self._process)
                status = Status.OUTPUT_LIMIT if recorder.truncated else None
            finally:
                # Else no code runs, and the end of PID 1 would compete with the answer for the processor.
                if not listener.told:
                    self._process.kill()
        seconds = time.monotonic() - started
        if wanted.cancelled_caught:
            status = Status.KILLED
        if not listener.told:
            with anyio.CancelScope(shield=True):
                await self._process.wait()
        if self._ending:
            raise EngineError("the executor is stopping")
        for stream, text in recorder.finish():
            visitor.output(stream, text)
        return self._outcome(execution, status, listener.said, recorder.transcript(), seconds)

    async def _hand_over(self, execution: Execution) -> None:
        """Give the code to the waiting interpreter. From then on its script is a plain file for whoever opens it."""
        # A waiting gVisor uses CPU time, which does not belong to the execution.
        self._cpu_before = self.group.cpu_seconds()
        self.group.begin()
        main = execution.sources[execution.main_file]
        self._files.replace(self._waits_for, main)
        self._files.write_all({name: it for name, it in execution.sources.items() if name != execution.main_file})
        if execution.results is not None:
            self._files.make_results()
        if self._script is not None:
            # An interpreter may end before it has read its whole script: Bash does at `exit`.
            with contextlib.suppress(BrokenPipeError):
                await write_all(self._script, main)
        self._close_script()

    def _opened_script(self) -> bool:
        """Open the FIFO for writing. Returns whether the interpreter has it open, without which it can't be opened."""
        try:
            self._script = os.open(self.tmp / self._waits_for, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        return self._script is not None

    def _close_script(self) -> None:
        if self._script is not None:
            os.close(self._script)
            self._script = None

    @contextlib.asynccontextmanager
    async def _obeying(
        self,
        execution: Execution,
        commands: AsyncIterator[Command] | None,
        started: asyncio.Event,
        run: anyio.CancelScope,
    ) -> AsyncIterator[None]:
        """During the block, write the input and follow the visitor's commands."""
        if commands is None and not execution.stdin:
            self._pipes.close_ours(STDIN)
            yield
            return
        typed: asyncio.Queue[Typed] = asyncio.Queue()
        typed.put_nowait(Input(data=execution.stdin))
        tasks = [asyncio.create_task(self._feed(typed, terminal=execution.terminal is not None))]
        if commands is None:
            typed.put_nowait(EndOfInput())
        else:
            tasks.append(asyncio.create_task(self._obey(commands, typed, started, run)))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            with anyio.CancelScope(shield=True):
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _feed(self, typed: "asyncio.Queue[Typed]", *, terminal: bool) -> None:
        """Write the input to PID 1's stdin, and close that at its end."""
        while (data := encoded(await typed.get(), terminal=terminal)) is not None:
            # Code may close its input or end before it has read everything.
            with contextlib.suppress(BrokenPipeError):
                await write_all(self._pipes.ours[STDIN], data)
        self._pipes.close_ours(STDIN)

    async def _obey(
        self,
        commands: AsyncIterator[Command],
        typed: "asyncio.Queue[Typed]",
        started: asyncio.Event,
        run: anyio.CancelScope,
    ) -> None:
        async for command in commands:
            match command:
                case Input() | EndOfInput() | Resize():
                    typed.put_nowait(command)
                case Interrupt():
                    # The kernel drops signals to PID 1 until PID 1 has blocked them.
                    await started.wait()
                    self._process.signal(signal.Signals[command.signal])
                case Cancel():
                    run.cancel()

    def _outcome(
        self, execution: Execution, stopped: Status | None, said: bytes, transcript: Transcript, seconds: float
    ) -> Outcome:
        """`stopped` is the reason for which the executor has ended the code; None if the code has ended by itself.

        Raises:
            Exhausted: the code failed, and was refused memory or processes below its own limits.
        """
        if stopped is not None:
            return Outcome(stopped, transcript, seconds)
        used = self.group.usage()
        code = None
        with contextlib.suppress(struct.error, ValueError):
            (status,) = _STATUS.unpack(said)
            code = os.waitstatus_to_exitcode(status & ~_FULL)
        if code != 0 and (what := self.group.lacking(used)):
            raise Exhausted(what)
        if code is None:  # PID 1 was killed. Under gVisor, the code may also have written to its descriptor.
            return Outcome(Status.MEMORY_LIMIT if used.memory_kills else Status.KILLED, transcript, seconds)
        pictures = ENVIRONMENTS[execution.home].pictures
        files, warnings = results.collect(self.tmp, execution.results, self._profile, pictures)
        return Outcome(
            _status(code, used.memory_kills, used.pids_refused or status & _FULL),
            transcript,
            seconds,
            exit_code=code if code >= 0 else 128 - code,
            signal=None if code >= 0 else _signal_name(-code),
            cpu_time=used.cpu_seconds - self._cpu_before,
            memory_peak=used.memory_peak,
            files=files,
            warnings=warnings,
        )

    def _said(self) -> str:
        return self._pipes.take(STDERR, _COMPLAINT).decode(errors="replace").strip() or "it has said nothing"


def _status(code: int, kills: int, refused: int) -> Status:
    """The status of code that ended by itself. Exit code 0 is a success, whatever the kernel refused on the way."""
    if code == 0:
        return Status.SUCCESS
    if kills:
        return Status.MEMORY_LIMIT
    return Status.PROCESS_LIMIT if refused else Status.ERROR


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
