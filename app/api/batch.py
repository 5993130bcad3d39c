"""One program with many inputs: each input is an execution of its own, and the answers come in order as they end."""

import asyncio
from collections import deque
from dataclasses import dataclass
from itertools import islice

from pydantic import Field
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from app.api.answering import note_gone
from app.api.executions import Executions
from app.api.executor_client import Said
from app.api.operation import Document
from app.api.repeats import without_key
from app.api.streaming import EVENT_STREAM, Pieces, sent_event
from app.process.connection import while_connected
from app.profile import SandboxProfile
from app.wire.admission import build, read_execution
from app.wire.media import accepted
from app.wire.problems import Code, Problem, Refused
from app.wire.protocol import Argument, Execution, ExecutionResult, File, Message, Status

JSON_LINES = "application/jsonl"

_MOST_INPUTS = 100
_MOST_VALUES = 2000
"""Most values in a batch's JSON: for 100 inputs, 20 each. Refusing as many wrong ones costs 3 MB and 40 ms."""


class BatchInput(Message):
    """The input of one execution of a batch."""

    stdin: str | None = None
    """As in `Execution`; null is the batch's."""
    args: tuple[Argument, ...] | None = Field(None, max_length=64)
    """As in `Execution`; null are the batch's."""
    files: tuple[File, ...] = Field((), max_length=31)
    """Files beside the program's own."""


class Batch(Execution):
    """A program, as in `Execution`, and its inputs. It is refused as a whole when one of its executions would be."""

    inputs: tuple[BatchInput, ...] = Field(min_length=1, max_length=_MOST_INPUTS)
    """At most 100, and no more than executions are allowed in a minute."""
    stop_at_failure: bool = False
    """Whether the first answer that is not a success is the last one. The executions behind it are not run, or are
    cancelled."""

    def executions(self, profile: SandboxProfile) -> list[Execution]:
        """An execution for each input; `Refused` when one is invalid or exceeds the profile."""
        # They share the program's files, so that their content is decoded once.
        program = self.files or (File(name=self.main_file, content=self.code or ""),)
        shared = {name: getattr(self, name) for name in Execution.model_fields} | {"code": None}
        executions = []
        for number, given in enumerate(self.inputs):
            own = {name: value for name, value in given if value is not None}
            try:
                executions.append(build({**shared, **own, "files": (*program, *given.files)}, profile))
            except Refused as refused:
                raise Refused(refused.problem.code, f"inputs.{number}: {refused.problem.detail}") from None
        return executions


class BatchAnswer(Document):
    """The answer to one input: either `result` or `problem`; the other one is left out."""

    input: int
    """The input's number, from 0."""
    result: ExecutionResult | None = None
    """How the execution ended, well or not."""
    problem: Problem | None = None
    """Why it could not be run."""


# The endpoint. It runs `at_once` of the inputs at once. The docstring is in the OpenAPI document.
@dataclass(frozen=True)
class Batches:
    """Each input is an execution in a sandbox of its own, and counts as one against the rate limit. When the limit does
    not hold them all, the batch is refused, nothing is run, and it counts as one. A body may be as long as that of
    `/execute`.

    The answers come in the order of the inputs, by default as lines of JSON; with `Accept: text/event-stream` each is
    an event named `result` or `problem`, with that JSON as its data. Some of the inputs run at once. When the first
    can't be run, the batch is refused; when a later one can't, its answer is a problem, and the others are run all the
    same. A client that disconnects cancels what has not ended.
    """

    executions: Executions
    at_once: int

    async def execute(self, request: Request) -> Response:
        """POST /execute/batch."""
        client = await self.executions.admit(request)
        without_key(request)
        batch = await read_execution(Batch, request, self.executions.profile, _MOST_VALUES)
        asked = len(batch.inputs)
        if asked > (most := self.executions.rate.most(client)):
            whose = f"the key {client.key.name}" if client.key else "one address"
            detail = f"The batch has {asked} inputs, and {most} executions a minute are allowed for {whose}."
            raise Refused(Code.BATCH_TOO_LONG, f"{detail} Send the inputs in several batches.")
        executions = batch.executions(self.executions.profile)
        if asked > 1:
            await self.executions.count(client, asked, counted=1)
        await while_connected(request, self.executions.packages.ready(batch))
        self.executions.metrics.batch_inputs.observe(asked)
        at_once = min(self.at_once, client.key.concurrent_runs) if client.key else self.at_once
        return _Answers(self, batch, executions, at_once, accepted(request.headers, (JSON_LINES, EVENT_STREAM)))


class _Answers(Response):
    """The answers in the order of the inputs. The refusal of the first input refuses the batch."""

    def __init__(
        self, batches: Batches, batch: Batch, executions: list[Execution], at_once: int, media_type: str
    ) -> None:
        super().__init__()
        self._at_once = at_once
        self._batches = batches
        self._batch = batch
        self._executions = executions
        self._media_type = media_type

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the executions and send their answers. They are cancelled when the client disconnects."""
        request = Request(scope, receive)
        pieces = Pieces(send, self._media_type)
        try:
            if refused := await while_connected(request, self._answer(pieces)):
                raise refused
        except ClientDisconnect:
            if not pieces.started:
                raise
            note_gone(request)
            return
        await pieces.end()

    async def _answer(self, pieces: Pieces) -> Refused | None:
        waiting = iter(self._executions)
        async with asyncio.TaskGroup() as group:
            # The next execution starts when an answer has been sent: so no more than these are kept for a slow reader,
            # or behind a long execution.
            running = deque(group.create_task(self._run(it)) for it in islice(waiting, self._at_once))
            for number in range(len(self._executions)):
                said = await running.popleft()
                if isinstance(said, Refused) and not pieces.started:
                    break
                await pieces.write(self._piece(number, said))
                if self._batch.stop_at_failure and (isinstance(said, Refused) or said.message.status != Status.SUCCESS):
                    break
                running.extend(group.create_task(self._run(it)) for it in islice(waiting, 1))
            for task in running:
                task.cancel()
        return None if pieces.started or not isinstance(said, Refused) else said

    async def _run(self, execution: Execution) -> Said[ExecutionResult] | Refused:
        try:
            return await self._batches.executions.run(execution)
        except Refused as refused:
            return refused

    def _piece(self, number: int, said: Said[ExecutionResult] | Refused) -> bytes:
        if isinstance(said, Refused):
            self._batches.executions.metrics.refused(said.problem.code)
            kind, json = "problem", said.problem.model_dump_json(exclude_none=True).encode()
        else:
            kind, json = "result", said.json
        line = b'{"input":%d,"%s":%s}' % (number, kind.encode(), json)
        return sent_event(kind, line) if self._media_type == EVENT_STREAM else line + b"\n"
