"""An execution as a conversation: frames while it runs, over a WebSocket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import anyio
from pydantic import TypeAdapter
from starlette.websockets import WebSocket, WebSocketDisconnect

from app.executor.engine import Visitor
from app.executor.service import Service
from app.executor.transcript import Stream
from app.wire.admission import admit, admit_input, parse, read_json
from app.wire.problems import Code, Refused
from app.wire.protocol import Command, Fault, Input, Message, Output, Resize, Result, Start, Started

_LAST_FRAMES_SECONDS = 10
"""How long a client may take to read what is left when its code has ended. Its sandbox is gone by then."""
_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class _Client(Visitor):
    """A visitor at the other end of a WebSocket.

    What waits for a slow reader is bounded by the profile's output, and what waits for the code by its input.
    """

    def __init__(self, websocket: WebSocket, start: Start, service: Service) -> None:
        self._websocket = websocket
        self._environment = start.environment
        self._profile = service.profile
        self._has_terminal = start.terminal is not None
        self._input = len(start.stdin.encode())
        self._commands: asyncio.Queue[Command] = asyncio.Queue()
        self._outbox: asyncio.Queue[Message] = asyncio.Queue()

    @property
    def commands(self) -> AsyncIterator[Command]:
        """See `Visitor`."""
        return self._given()

    def started(self, execution_id: str) -> None:
        """See `Visitor`."""
        self._outbox.put_nowait(Started(execution_id=execution_id, environment=self._environment))

    def output(self, stream: Stream, text: str) -> None:
        """See `Visitor`."""
        self._outbox.put_nowait(Output(stream="stdout" if stream is Stream.STDOUT else "stderr", data=text))

    async def listen(self) -> None:
        """Take what the client sends until it hangs up, or until a frame is not lawful, which is `Refused`."""
        with contextlib.suppress(WebSocketDisconnect):
            while True:
                command = read_json(_COMMAND.validate_json, await self._websocket.receive_text())
                if isinstance(command, Input):
                    self._input += len(command.data.encode())
                    admit_input(self._input, self._profile)
                if isinstance(command, Resize) and not self._has_terminal:
                    raise Refused(Code.INVALID_REQUEST, "resize: the execution has no terminal.")
                self._commands.put_nowait(command)

    async def tell(self) -> None:
        """Send what there is to tell, again and again."""
        while True:
            await self._websocket.send_text((await self._outbox.get()).model_dump_json())

    async def finish(self, last: Message) -> None:
        """Send what is left, and the last frame."""
        while not self._outbox.empty():
            await self._websocket.send_text(self._outbox.get_nowait().model_dump_json())
        await self._websocket.send_text(last.model_dump_json())

    async def _given(self) -> AsyncIterator[Command]:
        while True:
            yield await self._commands.get()


async def stream(websocket: WebSocket, service: Service) -> None:
    """Hold the conversation: `Start` from the client, then its commands; events to it, `Result` or `Fault` the last."""
    await websocket.accept()
    with contextlib.suppress(WebSocketDisconnect):
        try:
            start = parse(Start, await websocket.receive_text())
            admit(start, service.profile)
        except Refused as refused:
            await websocket.send_text(Fault.of(refused.problem).model_dump_json())
        else:
            await _run(_Client(websocket, start, service), start, service)
        await websocket.close()


async def _run(client: _Client, start: Start, service: Service) -> None:
    """Run it while the client listens; a client that hangs up ends it at once."""
    listening, telling = asyncio.create_task(client.listen()), asyncio.create_task(client.tell())
    last: Message | None = None
    with anyio.CancelScope() as run:

        def end(listener: "asyncio.Task[None]") -> None:
            if not listener.cancelled():
                run.cancel()

        listening.add_done_callback(end)
        try:
            result = await service.execute(start, client)
            last = Result(**dict(result))
        except Refused as refused:
            last = Fault.of(refused.problem)
    for task in (listening, telling):
        task.cancel()
    for done in await asyncio.gather(listening, telling, return_exceptions=True):
        if isinstance(done, Refused):
            last = Fault.of(done.problem)
    if last is not None:
        with anyio.move_on_after(_LAST_FRAMES_SECONDS):
            await client.finish(last)
