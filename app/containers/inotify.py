"""Linux's inotify: which files in some folders were replaced. Python has no module for it."""

import os
import struct
from collections.abc import Iterator
from pathlib import Path

from app.process.libc import LIBC, checked

_MOVED_TO, _CREATE, _OVERFLOW, _IGNORED = 0x80, 0x100, 0x4000, 0x8000
_EVENT = struct.Struct("iIII")
_BUFFER = 64 * 1024


class Replacements:
    """Watches each folder in `parent`, those that are made later on too. One thread may iterate.

    Raises:
        OSError: the kernel refuses, or `parent` can't be watched.
    """

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self._fd = checked(LIBC.inotify_init1(os.O_CLOEXEC), str(parent))
        self._folders: dict[int, Path] = {}
        self._root = self._watch(parent, _CREATE)
        for folder in parent.iterdir():
            self._watch_folder(folder)

    def __iter__(self) -> Iterator[tuple[Path, str]]:
        """The folder and the name of each file that is renamed into place, for ever.

        A folder that has just been made, and each one after events were lost, comes with an empty name.
        """
        while True:
            events = os.read(self._fd, _BUFFER)
            while events:
                watch, mask, _, length = _EVENT.unpack_from(events)
                name = os.fsdecode(events[_EVENT.size : _EVENT.size + length].rstrip(b"\0"))
                events = events[_EVENT.size + length :]
                if mask & _OVERFLOW:
                    yield from ((folder, "") for folder in tuple(self._folders.values()))
                elif mask & _IGNORED:
                    self._folders.pop(watch, None)
                elif watch == self._root:
                    if self._watch_folder(self._parent / name):
                        yield self._parent / name, ""
                elif folder := self._folders.get(watch):
                    yield folder, name

    def _watch_folder(self, folder: Path) -> bool:
        """Whether the folder is still there."""
        try:
            self._folders[self._watch(folder, _MOVED_TO)] = folder
        except FileNotFoundError:
            return False
        return True

    def _watch(self, path: Path, mask: int) -> int:
        return checked(LIBC.inotify_add_watch(self._fd, os.fsencode(path), mask), str(path))
