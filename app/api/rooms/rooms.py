"""The rooms of the platform: POST /rooms, and the WebSockets of those who are in one."""

import contextlib
import ctypes
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import anyio
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from app.api.clients import Client
from app.api.executions import Executions
from app.api.operation import json_answer
from app.api.rooms.document import Document, OutOfStep, first_update
from app.api.rooms.line import ComeBack, Line, chosen, close, token_of
from app.api.rooms.messages import RoomLinks, RoomRequest
from app.api.rooms.presence import Presence
from app.api.rooms.runs import Runs
from app.api.rooms.settings import RoomsOptions
from app.api.rooms.store import Store
from app.api.rooms.updates import NOTHING, Data, Unacceptable, number, read, sized
from app.api.streaming import GONE, check_origin
from app.wire.admission import parse
from app.wire.problems import FAULT_OF_OURS, Code, Refused

_log = logging.getLogger(__name__)

_SWEEP_SECONDS = 60
_KB = 1024
_SYNC, _AWARENESS, _QUERY = 0, 1, 3
_STEP_1, _STEP_2, _UPDATE = 0, 1, 2
_Talk = Callable[["_Room", Line], Awaitable[None]]


class _Room:
    """A room that somebody is in."""

    def __init__(self, document: Document, runs: Runs) -> None:
        self.document = document
        self.runs = runs
        self.presence: Presence[Line] = Presence()
        self.lines: set[Line] = set()
        self.visitors = 0

    def tell(self, message: bytes, but: Line | None = None) -> None:
        """Send a message to all who edit, but one."""
        for line in tuple(self.lines):
            if line is not but:
                line.put(message)


class _Places:
    """Counts those who are there, for each of the two WebSockets."""

    def __init__(self, options: RoomsOptions) -> None:
        self._options = options
        self._taken: Counter[tuple[str, ...]] = Counter()

    @contextlib.contextmanager
    def one(self, kind: str, room: str, client: Client) -> Iterator[None]:
        """One place; `Refused` when there is none."""
        names = {
            (kind, "room", room): (self._options.members, "of this room"),
            (kind, "client", client.name): (self._options.members_of_client, "for one address"),
            (kind,): (self._options.members_of_all, "of this platform's rooms"),
        }
        for name, (most, whose) in names.items():
            if self._taken[name] >= most:
                raise Refused(Code.ROOM_MEMBERS, f"All {most} places {whose} are taken.")
        self._taken.update(names.keys())
        try:
            yield
        finally:
            self._taken.subtract(names.keys())
            for name in names:
                if not self._taken[name]:
                    del self._taken[name]


class Rooms:
    """Serves them from a folder. `running` must be entered before. `allowed` are origins of pages."""

    def __init__(
        self, executions: Executions, options: RoomsOptions, folder: Path, allowed: Callable[[str], bool]
    ) -> None:
        self._executions = executions
        self._options = options
        self._allowed = allowed
        self._store = Store(folder)
        self._places = _Places(options)
        self._open: dict[str, _Room] = {}
        self._left = False
        self._group: TaskGroup | None = None
        metrics = executions.metrics
        metrics.rooms.set_function(lambda: len(self._store))
        metrics.rooms_limit.set(options.rooms)
        metrics.rooms_open.set_function(lambda: len(self._open))

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Runs what rooms run, and removes those that nobody visits."""
        async with anyio.create_task_group() as self._group:
            self._group.start_soon(self._sweep)
            yield
            self._group.cancel_scope.cancel()
        self._store.close()

    async def make(self, request: Request) -> Response:
        """Answer POST /rooms."""
        asked = parse(RoomRequest, await self._executions.body(request))
        known = [name for it in await self._executions.executor.environments() for name in (it.name, *it.aliases)]
        if asked.environment not in known:
            raise Refused(Code.UNKNOWN_ENVIRONMENT, f"There is no environment {asked.environment!r}.")
        content = first_update(asked.texts, asked.stdin, asked.environment)
        if (await read(content)).cost > self._options.document_kb * _KB:
            raise Refused(Code.ROOM_FULL, f"A room's document may have {self._options.document_kb} KB.")
        client = self._executions.client(request)
        made = self._store.make(client.name, content, self._options.rooms, self._options.rooms_of_client)
        page = f"{request.base_url}#room={made.id}&token="
        return json_answer(RoomLinks(id=made.id, edit=page + made.edit, view=page + made.view), 201)

    async def sync(self, websocket: WebSocket) -> None:
        """The WebSocket for editing."""
        await self._serve(websocket, "sync", self._edit)

    async def runs(self, websocket: WebSocket) -> None:
        """The WebSocket for running."""
        await self._serve(websocket, "runs", lambda room, line: room.runs.follow(line))

    async def _serve(self, websocket: WebSocket, kind: str, talk: _Talk) -> None:
        refused: Refused | None = None
        line: Line | None = None
        try:
            check_origin(websocket, self._allowed)
            client = self._executions.client(websocket)
            id = websocket.path_params["id"]
            may_edit = self._store.may_edit(id, token_of(websocket))
            if may_edit is None:
                raise Refused(Code.ROOM_NOT_FOUND, "There is no such room, or the link is not one of its links.")
            here = self._executions.metrics.room_members.labels(kind)
            with self._places.one(kind, id, client), here.track_inprogress():
                await websocket.accept(chosen(websocket))
                line = Line(websocket, client, may_edit, self._options)
                async with self._room(id) as room:
                    await line.hold(lambda: talk(room, line))
        except GONE:
            return
        except ComeBack:
            pass
        except Unacceptable as error:
            refused = Refused(Code.INVALID_REQUEST, str(error))
        except Refused as error:
            refused = error
        except Exception:
            _log.exception("a room failed")
            refused = Refused(Code.INTERNAL_ERROR, FAULT_OF_OURS)
        if refused is not None:
            self._executions.metrics.refused(refused.problem.code)
        await close(websocket, refused)

    @contextlib.asynccontextmanager
    async def _room(self, id: str) -> AsyncIterator[_Room]:
        room = self._open.get(id)
        if room is None:
            assert self._group is not None  # noqa: S101 - `running` was entered
            document = Document(self._store, id, self._options.document_kb * _KB)
            room = _Room(document, Runs(self._executions, document, self._group, lambda: self._leave(id)))
            self._open[id] = room
        room.visitors += 1
        try:
            await room.document.load()
            yield room
        finally:
            room.visitors -= 1
            self._leave(id)

    def _leave(self, id: str) -> None:
        """Forget a room that nobody is in and in which nothing runs."""
        room = self._open.get(id)
        if room and not room.visitors and not room.runs.running:
            del self._open[id]
            room.document.close()
            self._left = True
            with contextlib.suppress(Refused):
                self._store.visit([id])

    async def _edit(self, room: _Room, line: Line) -> None:
        if line.may_edit:
            line.put(_message(_SYNC, _STEP_1, room.document.state()))
        line.put(_message(_AWARENESS, None, room.presence.all()))
        room.lines.add(line)
        try:
            async for content in line.messages(bytes):
                await self._hear(room, line, Data(content))
        finally:
            room.lines.discard(line)
            if (told := room.presence.leave(line)) is not None:
                room.tell(_message(_AWARENESS, None, told))

    async def _hear(self, room: _Room, line: Line, data: Data) -> None:
        kind = data.number()
        if kind == _SYNC:
            await self._synchronize(room, line, data.number(), data.sized())
        elif kind == _AWARENESS:
            if (told := room.presence.hear(line, data.sized())) is not None:
                # To its sender too: a provider that hears nothing for 30 s connects again.
                room.tell(_message(_AWARENESS, None, told))
        elif kind == _QUERY:
            states = room.presence.all()
            await line.pace(len(states))
            line.put(_message(_AWARENESS, None, states))
        else:
            raise Unacceptable("The message is neither sync nor awareness.")

    async def _synchronize(self, room: _Room, line: Line, step: int, content: bytes) -> None:
        if step == _STEP_1:
            update = room.document.since(content)
            await line.pace(len(update))
            line.put(_message(_SYNC, _STEP_2, update))
            return
        if step not in (_STEP_2, _UPDATE):
            raise Unacceptable("The message is of no step of the sync.")
        if not line.may_edit and content != NOTHING:
            raise Refused(Code.ROOM_READ_ONLY, "This link is for viewing: its holders can't edit.")
        contents = await read(content)
        # Reading many pieces takes longer than receiving them.
        await line.pace(contents.cost)
        try:
            changes = await room.document.add(content, contents)
        except OutOfStep:
            if step == _STEP_2 or line.told_all:
                raise ComeBack from None
            return  # What was edited before the client heard of the server's state comes with the client's answer.
        line.told_all = line.told_all or step == _STEP_2
        for change in changes:
            room.tell(_message(_SYNC, _UPDATE, change), line)

    async def _sweep(self) -> None:
        while True:
            try:
                self._store.remove_idle(self._options.idle_hours * 3600, list(self._open))
            except Refused as refused:
                _log.error("idle rooms can't be removed: %s", refused)
            if self._left:
                self._left = False
                _give_memory_back()
            await anyio.sleep(_SWEEP_SECONDS)


def _give_memory_back() -> None:
    """Give the kernel what documents have left in pieces: glibc keeps it otherwise. It takes milliseconds."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _message(kind: int, step: int | None, content: bytes) -> bytes:
    return number(kind) + (b"" if step is None else number(step)) + sized(content)
