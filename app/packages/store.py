"""The store: sets of packages by the hash of their lock, each complete or not there.

    sets/<id>/set.json      the `PackageSet`, and the digest of its files
    sets/<id>/layer/...     its files, as a layer of a sandbox's root
    asked/<hash>            a link to the set that was prepared for a request
    new/...                 what is being made; emptied at each start

A set is made in `new`, written to disk, and then renamed. The executor holds a shared lock of the folder of a set while
a sandbox has it, so that a set in use is not removed.
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import ValidationError

from app.packages.unpacking import Away
from app.process.libc import LIBC, checked
from app.wire.packages import LAYER, PackageSet
from app.wire.protocol import Message

DESCRIPTION = "set.json"
_MB = 1024 * 1024
_FRESH_SECONDS = 24 * 3600.0
"""After this time a request is resolved anew."""
_BLOCK = 4096
"""Bytes of a block of the disk, of which each file and each folder takes whole ones."""
_RECENT_SECONDS = 120.0
"""A set that was asked for within this time is not removed: its execution may still wait for a sandbox."""


class Entry(Message):
    """The content of set.json. `digest` is that of the set's files, and `disk` the bytes that they take there; 0 where
    an earlier version has written it."""

    set: PackageSet
    digest: str
    disk: int = 0

    @property
    def size(self) -> int:
        """Bytes on disk."""
        return self.disk or self.set.size


class Store:
    """The sets below `folder`. Its calls block, and only one thread may make them. `on_removal` is called for each set
    that is removed."""

    def __init__(self, folder: Path, most_mb: int) -> None:
        self._sets, self._asked, self._new = (folder / name for name in ("sets", "asked", "new"))
        self._most = most_mb * _MB
        self._sizes: dict[str, int] = {}
        self._verified: set[str] = set()
        self.on_removal: Callable[[], None] = lambda: None

    @property
    def size(self) -> int:
        """Bytes of all sets on disk."""
        return sum(self._sizes.values())

    def __len__(self) -> int:
        """The number of sets."""
        return len(self._sizes)

    def open(self) -> None:
        """Make the folders, and remove what an earlier process has not finished. To be called once."""
        shutil.rmtree(self._new, ignore_errors=True)
        for folder in (self._sets, self._asked, self._new):
            folder.mkdir(exist_ok=True)
        for place in self._sets.iterdir():
            if entry := self._read(place.name):
                self._sizes[place.name] = entry.size
            else:
                self._remove(place)

    @contextlib.contextmanager
    def workplace(self) -> Iterator[Path]:
        """A folder to make a set in, which is gone afterwards."""
        place = self._new / uuid.uuid4().hex
        place.mkdir()
        try:
            yield place
        finally:
            shutil.rmtree(place, ignore_errors=True)

    def find(self, asked: str) -> PackageSet | None:
        """The set for a request that was prepared within a day, and counts as used now."""
        link = self._asked / asked
        try:
            if time.time() - link.lstat().st_mtime > _FRESH_SECONDS:
                return None
            identity = link.readlink().name
        except FileNotFoundError:
            return None
        return self.use(identity)

    def use(self, identity: str) -> PackageSet | None:
        """The set with this id, which counts as used now. One whose files are not what was unpacked is removed."""
        entry = self._read(identity)
        if entry and identity not in self._verified:
            if _digest(self._sets / identity / LAYER) != entry.digest:
                self._remove(self._sets / identity)
                return None
            self._verified.add(identity)
        if entry is None:
            return None
        os.utime(self._sets / identity)
        return entry.set

    def hold(self, identity: str) -> "HeldSet | None":
        """The set with this id, which counts as used now, with a lock as the executor's."""
        found = self.use(identity)
        return HeldSet(found, self._sets / identity) if found else None

    def keep(self, entry: Entry, place: Path) -> None:
        """Move a set that is `complete` into the store from its workplace; `Away` when there is no room."""
        if entry.set.id in self._sizes:  # another request had the same lock
            return
        self._make_room(entry.size)
        place.rename(self._sets / entry.set.id)
        _sync(self._sets)
        self._sizes[entry.set.id] = entry.size

    def link(self, asked: str, identity: str) -> None:
        """Remember the set of a request. A day later it is forgotten."""
        for link in self._asked.iterdir():
            if time.time() - link.lstat().st_mtime > _FRESH_SECONDS + _RECENT_SECONDS:
                link.unlink()
        new = self._new / f"{asked}.link"
        new.symlink_to(Path("..", "sets", identity))
        new.rename(self._asked / asked)

    def _make_room(self, size: int) -> None:
        """Remove the least recently used sets that nobody uses, until there is room for so many bytes."""
        by_use = sorted(self._sizes, key=lambda identity: (self._sets / identity).stat().st_mtime)
        for identity in by_use:
            if self.size + size <= self._most:
                return
            place = self._sets / identity
            if time.time() - place.stat().st_mtime > _RECENT_SECONDS and unused(place):
                self._remove(place)
        if self.size + size > self._most:
            raise Away("There is no room for more packages at this moment.", "all sets of the store are in use")

    def _read(self, identity: str) -> Entry | None:
        try:
            return Entry.model_validate_json((self._sets / identity / DESCRIPTION).read_bytes())
        except (OSError, ValidationError):
            return None

    def _remove(self, place: Path) -> None:
        """In one step for whoever opens it."""
        gone = self._new / uuid.uuid4().hex
        place.rename(gone)
        self._sizes.pop(place.name, None)
        self._verified.discard(place.name)
        shutil.rmtree(gone, ignore_errors=True)
        self.on_removal()


class HeldSet:
    """A set of the store, in its folder, that is not removed until `close`."""

    def __init__(self, held: PackageSet, place: Path) -> None:
        self.set = held
        self.place = place
        self._folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.flock(self._folder, fcntl.LOCK_SH)

    def close(self) -> None:
        """To be called once."""
        os.close(self._folder)


def complete(made: PackageSet, place: Path) -> Entry:
    """Describe the set in a workplace, whose folder `LAYER` it is, and write all of it to disk. May run in a thread."""
    layer = place / LAYER
    entry = Entry(set=made, digest=_digest(layer), disk=sum(map(_disk, _below(layer))))
    (place / DESCRIPTION).write_text(entry.model_dump_json())
    _sync(place)
    return entry


def unused(place: Path) -> bool:
    """Whether no sandbox has it. The executor looks again once it has its lock, since the set may be removed then."""
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(folder)
    return True


def _digest(layer: Path) -> str:
    """The SHA-256 of all names, kinds and contents below a folder."""
    digest = hashlib.sha256()
    for place in _below(layer):
        content = b"a folder"
        if place.is_symlink() or not (place.is_dir() or place.is_file()):
            content = b"something else"
        elif place.is_file():
            with place.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        digest.update(place.relative_to(layer).as_posix().encode() + b"\0" + content + b"\0")
    return digest.hexdigest()


def _below(folder: Path) -> Iterator[Path]:
    """All below a folder by name, each before what is in it. To sort all at once would take 3 KB for a long name."""
    waiting = [folder]
    while waiting:
        place = waiting.pop()
        if place != folder:
            yield place
        if place.is_dir() and not place.is_symlink():
            waiting += sorted(place.iterdir(), key=lambda it: it.name, reverse=True)


def _disk(place: Path) -> int:
    """Bytes that a file or a folder takes on disk. An empty one is counted too: there are only so many inodes."""
    return max(1, -(-place.lstat().st_size // _BLOCK)) * _BLOCK


def _sync(folder: Path) -> None:
    """Write the whole file system of a folder to disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        checked(LIBC.syncfs(descriptor), str(folder))
    finally:
        os.close(descriptor)
