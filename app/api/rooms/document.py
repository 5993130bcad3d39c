"""The document of an open room: what its members send is checked, kept, and what came of it handed on."""

import contextlib
import logging
from collections.abc import Iterator, Mapping
from typing import Any

import anyio
from pycrdt import Doc, Map, Subscription, Text, TransactionEvent

from app.api.rooms.store import Store
from app.api.rooms.updates import FILES, NOTHING, ROOM, STDIN, Contents, Unacceptable, ends_of, read
from app.wire.problems import Code, Refused

_log = logging.getLogger(__name__)

_MOST_ROWS = 500
"""Updates that are kept one by one before they are merged."""
_MEASURE_SECONDS = 1.0
"""A document that seems full is measured again at most so often. What was removed and merged has become smaller."""
_FROM_THE_BEGINNING = b"\x00"
ENVIRONMENT = "environment"


class OutOfStep(Exception):
    """An update builds on one that is not here: its sender must send again all that it has."""


def first_update(files: Mapping[str, str], stdin: str, environment: str) -> bytes:
    """The content of a new room."""
    doc: Doc[Any] = Doc()
    doc[FILES] = Map({name: Text(content) for name, content in files.items()})
    doc[STDIN] = Text(stdin)
    doc[ROOM] = Map({ENVIRONMENT: environment})
    return doc.get_update()


class Document:
    """A room's document in memory, as the store has it; `limit` is its largest cost, which `updates` describes."""

    def __init__(self, store: Store, room: str, limit: int) -> None:
        self._store = store
        self._room = room
        self._limit = limit
        self._lock = anyio.Lock()
        self._loaded = False
        self._noting: Subscription | None = None
        self._changes: list[bytes] = []
        self._rows = self._kept = 0
        self._cost = self._measured = 0
        self._measured_at = 0.0
        self._ends: dict[int, int] = {}
        self._removed: set[tuple[int, int, int]] = set()

    async def load(self) -> None:
        """Read it from the store, unless that was done."""
        async with self._lock:
            if not self._loaded:
                self._open()
                await self._measure()
                self._loaded = True

    def close(self) -> None:
        """Give its memory back: an observed document of pycrdt's is never freed."""
        if self._noting is not None:
            self._doc.unobserve(self._noting)
            self._noting = None
            del self._doc

    def state(self) -> bytes:
        """What it has, as its state vector."""
        return self._doc.get_state()

    def since(self, state: bytes) -> bytes:
        """The update for a member who has this state. Raises `Unacceptable`."""
        with _contained():
            return self._doc.get_update(state)

    async def add(self, update: bytes, contents: Contents) -> list[bytes]:
        """Apply an update that has these contents, and keep it. Returns what changed.

        Raises:
            Unacceptable: it can't be applied.
            OutOfStep: it builds on an update that is not here.
            Refused: the document would be too large, or can't be kept.
        """
        async with self._lock:
            if not contents.follows(self._ends):
                raise OutOfStep
            if not contents.adds(self._ends) and contents.removed <= self._removed:
                return []
            await self._admit(contents)
            try:
                return self._apply(update, contents)
            except BaseException:
                # In memory there may be more than in the store.
                self._open()
                raise

    def environment(self) -> str:
        """The name of the environment that the members have chosen; empty for none."""
        with _contained():
            value = self._doc.get(ROOM, type=Map).get(ENVIRONMENT)
        return value if isinstance(value, str) else ""

    def files(self) -> dict[str, str]:
        """The content of each file, by name."""
        with _contained():
            files = self._doc.get(FILES, type=Map)
            return {name: str(files[name]) for name in sorted(files.keys()) if isinstance(files[name], Text)}

    def stdin(self) -> str:
        """The text of the input."""
        with _contained():
            return str(self._doc.get(STDIN, type=Text))

    def _open(self) -> None:
        rows = self._store.updates(self._room)
        self._rows, self._kept = len(rows), sum(map(len, rows))
        doc = _doc(rows)
        self.close()
        self._doc, self._changes = doc, []
        self._noting = doc.observe(self._note)
        self._ends = ends_of(self._doc.get_state())

    def _note(self, event: TransactionEvent) -> None:
        self._changes.append(event.update)

    def _apply(self, update: bytes, contents: Contents) -> list[bytes]:
        with _contained():
            self._doc.apply_update(update)
        changes, self._changes = [change for change in self._changes if change != NOTHING], []
        for change in changes:
            self._store.append(self._room, change)
        self._cost += self._cost_of(contents)
        self._ends |= {client: end for client, end in contents.ends.items() if end > self._ends.get(client, 0)}
        self._rows += len(changes)
        self._kept += sum(map(len, changes))
        if self._rows > _MOST_ROWS or self._kept > 4 * self._limit:
            self._store.merge(self._room, _merged)
            self._open()
        return changes

    def _cost_of(self, contents: Contents) -> int:
        return contents.cost_of(contents.removed - self._removed)

    async def _admit(self, contents: Contents) -> None:
        # What only removes text may go beyond the limit by a quarter, since it makes room.
        limit = self._limit if contents.adds(self._ends) else self._limit * 5 // 4
        if self._cost + self._cost_of(contents) > limit and self._cost != self._measured:
            await anyio.sleep_until(self._measured_at + _MEASURE_SECONDS)
            await self._measure()
        if self._cost + self._cost_of(contents) > limit:
            kilobytes = self._limit // 1024
            raise Refused(Code.ROOM_FULL, f"The room's document would be larger than {kilobytes} KB with its history.")

    async def _measure(self) -> None:
        contents = await read(self.since(_FROM_THE_BEGINNING))
        self._removed = contents.removed
        self._cost = self._measured = contents.cost_of(contents.removed)
        self._measured_at = anyio.current_time()


def _doc(rows: list[bytes]) -> Doc[Any]:
    doc: Doc[Any] = Doc()
    with _contained():
        for row in rows:
            doc.apply_update(row)
    return doc


def _merged(rows: list[bytes]) -> bytes:
    with _contained():
        return _doc(rows).get_update()


@contextlib.contextmanager
def _contained() -> Iterator[None]:
    """Raises `Unacceptable` for what pycrdt can't do. An editor can send what breaks its own room, and nothing else."""
    try:
        yield
    except Exception:
        raise Unacceptable("The room's document can't be read with this.") from None
    except BaseException as error:
        # A panic in Rust is no Exception, and has no class that can be imported.
        if type(error).__name__ != "PanicException":
            raise
        _log.warning("pycrdt has failed at an update: %r", error)
        raise Unacceptable("The room's document can't be read with this.") from None
