"""One sandbox and the one execution that it is for."""

import asyncio
import base64
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import islice

import anyio
from pydantic import BaseModel, ConfigDict, ValidationError

from app.environments import Environment
from app.executor.attachment import Attachment
from app.executor.engine import EngineError, Outcome, Visitor
from app.executor.transcript import Recorder, Stream
from app.guest import frames
from app.profile import SandboxProfile
from app.wire.protocol import Cancel, Command, EndOfInput, Execution, Input, Interrupt, ResultFile, Status

_log = logging.getLogger(__name__)

_KB = 1024
_MOST_WARNINGS = 20
"""Result files that are named when they are not given back."""
_LONGEST_WARNING = 400
"""Characters: a name has at most 255, and the rest is our supervisor's sentence."""
_OUTPUT = {frames.STDOUT: Stream.STDOUT, frames.STDERR: Stream.STDERR}


class Ending(BaseModel):
    """What PID 1 tells at the end. None is what the kernel doesn't offer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exit_code: int
    signal: str | None = None
    cpu_time: float | None = None
    memory_peak: int | None = None
    oom_kills: int | None = None
    pids_refused: int | None = None

    @property
    def status(self) -> Status:
        """Code that has coped with what the kernel refused it has not failed."""
        if self.exit_code == 0:
            return Status.SUCCESS
        if self.oom_kills:
            return Status.MEMORY_LIMIT
        return Status.PROCESS_LIMIT if self.pids_refused else Status.ERROR


class DockerSandbox:
    """A `Sandbox` whose PID 1 is at the other end of `attachment`.

    `post_mortem` asks the engine how it ended when PID 1 could not say: whether it was for memory.
    """

    def __init__(
        self,
        identity: str,
        environment: Environment,
        profile: SandboxProfile,
        attachment: Attachment,
        post_mortem: Callable[[], Awaitable[bool]],
    ) -> None:
        self.id = identity
        self.environment = environment
        self._profile = profile
        self._attachment = attachment
        self._post_mortem = post_mortem
        self._files: list[ResultFile] = []
        self._refused: dict[str, str] = {}
        self._only_waits = False

    async def ready(self) -> None:
        """Return when the interpreter waits, else raise `EngineError`, which always says why it does not."""
        seconds = self._profile.timeout_seconds
        try:
            with anyio.fail_after(seconds):
                received = await self._attachment.receive()
        except TimeoutError as error:
            raise EngineError(f"the sandbox was not ready within {seconds:g} s: {self._complaint}") from error
        except frames.BadFrame as error:
            raise EngineError(f"the sandbox does not speak the protocol: it sent {error}") from error
        if received is None:
            raise EngineError(f"the sandbox has ended before it was ready: {self._complaint}")
        if received[0] != frames.READY:
            raise EngineError(f"the sandbox does not speak the protocol: it began with a frame of type {received[0]!r}")
        self._only_waits = True

    async def ended(self) -> None:
        """Return when it is of no use any more. For a sandbox that has no job; cancel it before giving one."""
        with contextlib.suppress(frames.BadFrame):
            await self._attachment.receive()

    async def leave(self) -> None:
        """Let PID 1 end by itself if nothing else is left: a kill is one process more for the engine. Then hang up."""
        if self._only_waits:
            await self._attachment.leave()
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._attachment.close()

    async def run(self, execution: Execution, visitor: Visitor) -> Outcome:
        """See `Sandbox`."""
        recorder = Recorder(self._profile.output_kb * _KB)
        status, ending = Status.TIMEOUT, None
        visitor.started(self.id)
        self._only_waits = False
        started = time.monotonic()
        with anyio.move_on_after(execution.timeout or self._profile.timeout_seconds), anyio.CancelScope() as wanted:
            await self._begin(execution, ends_input=visitor.commands is None)
            obeying = asyncio.create_task(self._obey(visitor.commands, wanted)) if visitor.commands else None
            try:
                status, ending = await self._listen(recorder, visitor)
            finally:
                if obeying:
                    obeying.cancel()
        seconds = time.monotonic() - started
        if wanted.cancelled_caught:
            status = Status.KILLED
        for stream, text in recorder.finish():
            visitor.output(stream, text)
        if ending is None:
            return Outcome(status, recorder.transcript(), seconds)
        return Outcome(
            status,
            recorder.transcript(),
            seconds,
            exit_code=ending.exit_code,
            signal=ending.signal,
            cpu_time=ending.cpu_time,
            memory_peak=ending.memory_peak,
            files=tuple(self._files),
            warnings=_warnings(self._refused),
        )

    async def _begin(self, execution: Execution, ends_input: bool) -> None:
        begin = [(frames.SOURCE, name.encode() + b"\0" + content) for name, content in execution.sources.items()]
        if execution.results is not None:
            bounds = str(self._profile.result_files), str(self._profile.result_kb * _KB)
            begin.append((frames.RESULTS, frames.join(*bounds, *execution.results)))
        begin.append((frames.JOB, frames.join(execution.main_file, *execution.args)))
        begin.append((frames.INPUT, execution.stdin.encode()))
        if ends_input:
            begin.append((frames.END_OF_INPUT, b""))
        await self._attachment.send(*begin)

    async def _obey(self, commands: AsyncIterator[Command], run: anyio.CancelScope) -> None:
        """Pass on what the visitor does. A sandbox that can't be written to any more is noticed by who listens."""
        with contextlib.suppress(EngineError):
            async for command in commands:
                match command:
                    case Input():
                        await self._attachment.send((frames.INPUT, command.data.encode()))
                    case EndOfInput():
                        await self._attachment.send((frames.END_OF_INPUT, b""))
                    case Interrupt():
                        await self._attachment.send((frames.SIGNAL, command.signal.encode()))
                    case Cancel():
                        run.cancel()

    async def _listen(self, recorder: Recorder, visitor: Visitor) -> tuple[Status, Ending | None]:
        try:
            while received := await self._attachment.receive():
                kind, payload = received
                if kind in _OUTPUT:
                    if text := recorder.write(_OUTPUT[kind], payload):
                        visitor.output(_OUTPUT[kind], text)
                    if recorder.truncated:
                        return Status.OUTPUT_LIMIT, None
                elif kind == frames.FILE:
                    self._keep(payload)
                elif kind == frames.REFUSED:
                    self._refused = frames.pairs(payload)
                elif kind == frames.EXIT:
                    ending = Ending.model_validate_strings(frames.pairs(payload))
                    self._only_waits = True
                    return ending.status, ending
                else:
                    raise frames.BadFrame(f"a frame of type {kind!r}")
        except (frames.BadFrame, ValidationError) as error:
            _log.warning("sandbox %s does not speak the protocol: %s", self.id, error)
            return Status.KILLED, None
        killed_for_memory = await self._post_mortem()
        _log.warning("sandbox %s has ended without a result: %s", self.id, self._complaint)
        return (Status.MEMORY_LIMIT if killed_for_memory else Status.KILLED), None

    @property
    def _complaint(self) -> str:
        return self._attachment.complaint or "its PID 1 has said nothing"

    def _keep(self, payload: bytes) -> None:
        """Take a result file, as long as the profile allows it."""
        header, _, content = payload.partition(b"\0")
        (name,) = frames.split(header)
        size = sum(file.size for file in self._files) + len(content)
        if len(self._files) == self._profile.result_files or size > self._profile.result_kb * _KB:
            raise frames.BadFrame("more result files than allowed")
        self._files.append(ResultFile(name=name, content=base64.b64encode(content).decode(), size=len(content)))


def _warnings(refused: Mapping[str, str]) -> tuple[str, ...]:
    """Why files are not given back: a sentence for each of the first, and one that counts the others."""
    told = tuple(
        f"results: {name}: {reason}"[:_LONGEST_WARNING] for name, reason in islice(refused.items(), _MOST_WARNINGS)
    )
    more = len(refused) - len(told)
    return (*told, f"results: {more} more files are not given back.") if more else told
