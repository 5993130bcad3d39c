"""What is run in one room: one execution at a time, told to all members."""

import logging
from collections.abc import Callable

from anyio.abc import TaskGroup
from pydantic import BaseModel, TypeAdapter

from app.api.clients import Client
from app.api.executions import Executions
from app.api.executor_client import ExecutorStream
from app.api.rooms.document import Document
from app.api.rooms.line import Line
from app.api.rooms.messages import OwnFault, RoomFrame, RoomInput, RoomRun, RoomRunStarts
from app.environments import described
from app.wire.admission import admit_input, build, read_json
from app.wire.problems import FAULT_OF_OURS, Code, Refused
from app.wire.protocol import Command, EndOfInput, Execution, Fault, Happening, Input, Output, Result

_log = logging.getLogger(__name__)

_TRANSCRIPT = 10 * 1024
"""Bytes of output that a member who comes later receives."""
_MOST_PIECES = 1000
_FRAME: TypeAdapter[RoomFrame] = TypeAdapter(RoomFrame)


class Runs:
    """The runs of a room, and those who follow them. `ended` is called after each; `group` is where they run."""

    def __init__(self, executions: Executions, document: Document, group: TaskGroup, ended: Callable[[], None]) -> None:
        self.running = False
        self.lines: set[Line] = set()
        self._executions = executions
        self._document = document
        self._group = group
        self._ended = ended
        self._stream: ExecutorStream | None = None
        self._stdin = 0
        self._transcript = _Transcript()

    async def follow(self, line: Line) -> None:
        """Tell a member what happens, and do what it asks for, until it leaves."""
        for frame in self._transcript.frames():
            line.put(frame)
        self.lines.add(line)
        try:
            async for text in line.messages(str):
                if not line.may_edit:
                    raise Refused(Code.ROOM_READ_ONLY, "This link is for viewing: its holders can't run anything.")
                try:
                    await self._do(read_json(_FRAME.validate_json, text), line.client)
                except Refused as refused:
                    self._executions.metrics.refused(refused.problem.code)
                    line.put(OwnFault.of(refused.problem).model_dump_json())
        finally:
            self.lines.discard(line)

    async def _do(self, frame: RoomFrame, client: Client) -> None:
        if isinstance(frame, RoomRun):
            await self._begin(frame, client)
        elif self._stream is not None:
            await self._send(frame, self._stream)

    async def _send(self, command: Command, stream: ExecutorStream) -> None:
        if isinstance(command, RoomInput):
            self._stdin += len(command.data.encode())
            admit_input(self._stdin, self._executions.profile)
            self._tell(command)
            command = Input(data=command.data)
        await stream.send(command)

    async def _begin(self, asked: RoomRun, client: Client) -> None:
        if self.running:
            raise Refused(Code.ROOM_BUSY, "The room's files are running already.")
        self.running = True
        try:
            await self._executions.count(client)
            execution = self._execution(asked)
        except BaseException:
            self._end()
            raise
        self._group.start_soon(self._run, execution, asked)

    def _end(self) -> None:
        self.running = False
        self._stream = None
        self._ended()

    def _execution(self, asked: RoomRun) -> Execution:
        files = self._document.files()
        environment = asked.environment or self._document.environment()
        usual = (known := described(environment)) and known.main
        main = asked.main or (usual if usual in files else next(iter(files), None))
        fields = {
            "environment": environment,
            "files": tuple({"name": name, "content": content} for name, content in files.items()),
            "main": main,
            "stdin": self._document.stdin(),
            "packages": asked.packages,
            "results": ("*",),
        }
        return build(fields, self._executions.profile)

    async def _run(self, execution: Execution, asked: RoomRun) -> None:
        self._transcript = _Transcript()
        self._stdin = len(execution.stdin.encode())
        self._tell(
            RoomRunStarts(
                name=asked.name,
                environment=execution.environment,
                packages=execution.packages,
                main=execution.main_file,
            )
        )
        # The last frame is told when the next run may begin: pages run again at once.
        last: tuple[BaseModel, str | None] | None = None
        try:
            async for step in self._executions.packages.preparing(execution):
                self._tell(step)
            async with self._executions.stream(execution) as stream:
                self._stream = stream
                if not asked.interactive:
                    await stream.send(EndOfInput())
                async for said in stream.events():
                    if isinstance(said.message, Result):
                        last = said.message, said.json.decode()
                    else:
                        self._tell(said.message, said.json.decode())
        except Refused as refused:
            last = self._fault(refused), None
        except Exception:
            _log.exception("a run of a room failed")
            last = self._fault(Refused(Code.INTERNAL_ERROR, FAULT_OF_OURS)), None
        finally:
            self._end()
        if last is not None:
            self._tell(*last)

    def _fault(self, refused: Refused) -> Fault:
        self._executions.metrics.refused(refused.problem.code)
        return Fault.of(refused.problem)

    def _tell(self, message: BaseModel, json: str | None = None) -> None:
        self._transcript.note(message)
        frame = message.model_dump_json() if json is None else json
        for line in tuple(self.lines):
            line.put(frame)


class _Transcript:
    """What members who come later receive of a run."""

    def __init__(self) -> None:
        self._first: list[str] = []
        self._output: list[Output] = []
        self._last: list[str] = []
        self._left = _TRANSCRIPT

    def note(self, message: BaseModel | Happening) -> None:
        """Add what happened."""
        if isinstance(message, Output):
            self._add(message)
        elif isinstance(message, Result):
            bare = message.model_copy(update={"output": "", "stdout": "", "stderr": "", "files": ()})
            self._last.append(bare.model_dump_json())
        elif isinstance(message, Fault):
            self._last.append(message.model_dump_json())
        elif not isinstance(message, RoomInput):
            self._first.append(message.model_dump_json())

    def frames(self) -> list[str]:
        """The frames, in their order."""
        return [*self._first, *(piece.model_dump_json() for piece in self._output), *self._last]

    def _add(self, output: Output) -> None:
        kept = output.data.encode()[: self._left].decode(errors="ignore")
        self._left -= len(output.data.encode())
        last = self._output[-1] if self._output else None
        if last and last.stream == output.stream:
            self._output[-1] = last.model_copy(update={"data": last.data + kept})
        elif kept and len(self._output) < _MOST_PIECES:
            self._output.append(output.model_copy(update={"data": kept}))
        self._left = max(0, self._left)
