"""Rooms on disk, in SQLite: of each room its updates, and hashes of its tokens and of the client that made it.

An update is written before other members see it, so that the end of the process loses none. The end of the machine may
lose what SQLite has not yet checkpointed (`synchronous = NORMAL`); editors that are open still have it, and send it
again. While an api is replaced, two have the file open.
"""

import contextlib
import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from app.process.settings import SettingsError
from app.wire.problems import Code, Refused

FILE = "rooms.sqlite"
_RETRY_SECONDS = 30
_BUSY_SECONDS = 2.0
_TABLES = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = NORMAL;
PRAGMA journal_size_limit = 16777216;
CREATE TABLE IF NOT EXISTS rooms (
  id TEXT PRIMARY KEY, edit BLOB NOT NULL, view BLOB NOT NULL, client BLOB NOT NULL, visited INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS rooms_of_client ON rooms (client);
CREATE TABLE IF NOT EXISTS updates (room TEXT NOT NULL, content BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS updates_of_room ON updates (room);
"""


@dataclass(frozen=True)
class Secrets:
    """A new room's id and tokens."""

    id: str
    edit: str
    view: str


class Store:
    """The file in a folder. Every method raises `Refused` when it can't be read or written.

    Raises:
        SettingsError: it can't be opened.
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        try:
            self._database = sqlite3.connect(
                folder / FILE, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._database.executescript(_TABLES)
        except sqlite3.Error as error:
            raise SettingsError(f"API_ROOMS_FOLDER is wrong: {folder} can't hold the rooms: {error}") from None

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def make(self, client: str, update: bytes, most: int, most_of_client: int) -> Secrets:
        """A new room with this content; `Refused` when there are too many."""
        made = Secrets(secrets.token_hex(8), secrets.token_urlsafe(24), secrets.token_urlsafe(24))
        whose = _hash(client)
        with self._writing():
            if self._count("rooms WHERE client = ?", whose) >= most_of_client:
                detail = f"One address may have {most_of_client} rooms. They go when nobody visits them for long."
                raise Refused(Code.ROOM_LIMIT, detail)
            if self._count("rooms") >= most:
                raise Refused(Code.ROOM_LIMIT, "All rooms of this platform are taken: try again later.", _RETRY_SECONDS)
            row = (made.id, _hash(made.edit), _hash(made.view), whose, self._now())
            self._database.execute("INSERT INTO rooms VALUES (?, ?, ?, ?, ?)", row)
            self._database.execute("INSERT INTO updates VALUES (?, ?)", (made.id, update))
        return made

    def may_edit(self, room: str, token: str) -> bool | None:
        """Whether the token is that for editing; None: there is no such room, or it is neither of its tokens."""
        with _available():
            row = self._database.execute("SELECT edit, view FROM rooms WHERE id = ?", (room,)).fetchone()
        given = _hash(token)
        edit, view = row or (b"", b"")
        editor, viewer = secrets.compare_digest(given, edit), secrets.compare_digest(given, view)
        return editor if editor or viewer else None

    def visit(self, rooms: Sequence[str]) -> None:
        """Note that these rooms are visited now."""
        with self._writing():
            self._database.executemany("UPDATE rooms SET visited = ? WHERE id = ?", [(self._now(), it) for it in rooms])

    def updates(self, room: str) -> list[bytes]:
        """The updates of a room, as they came."""
        with _available():
            rows = self._database.execute("SELECT content FROM updates WHERE room = ? ORDER BY rowid", (room,))
            return [row[0] for row in rows]

    def append(self, room: str, update: bytes) -> None:
        """Add an update."""
        with self._writing():
            self._database.execute("INSERT INTO updates VALUES (?, ?)", (room, update))

    def merge(self, room: str, merge: Callable[[list[bytes]], bytes]) -> None:
        """Replace a room's updates, also those of another process, by what `merge` makes of them."""
        with self._writing():
            merged = merge(self.updates(room))
            self._database.execute("DELETE FROM updates WHERE room = ?", (room,))
            self._database.execute("INSERT INTO updates VALUES (?, ?)", (room, merged))

    def remove_idle(self, seconds: float, open_rooms: Sequence[str]) -> None:
        """Remove the rooms that nobody has visited for this many seconds, except those that are open now."""
        self.visit(open_rooms)
        with self._writing():
            before = (self._now() - int(seconds),)
            self._database.execute("DELETE FROM updates WHERE room IN (SELECT id FROM rooms WHERE visited < ?)", before)
            self._database.execute("DELETE FROM rooms WHERE visited < ?", before)
        with _available():
            self._database.execute("PRAGMA incremental_vacuum").fetchall()

    def __len__(self) -> int:
        """The number of rooms."""
        with _available():
            return self._count("rooms")

    def _count(self, table: str, *values: bytes) -> int:
        found: int = self._database.execute(f"SELECT count(*) FROM {table}", values).fetchone()[0]  # noqa: S608 - ours
        return found

    def _now(self) -> int:
        return int(self._clock())

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with _available():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("COMMIT")


def _hash(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


@contextlib.contextmanager
def _available() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise Refused(
            Code.ROOMS_UNAVAILABLE,
            f"Rooms can't be read or written now ({type(error).__name__}). This is a fault of the platform: try again "
            "later.",
            _RETRY_SECONDS,
        ) from error
