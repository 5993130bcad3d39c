"""The visitor's files, written into a sandbox's /tmp before any of their code runs."""

import os
from collections.abc import Mapping
from pathlib import Path

from app.wire.protocol import RESULTS


class Folder:
    """A sandbox's /tmp, mounted at `place`. The files made in it belong to `user`, a user and group id."""

    def __init__(self, place: Path, user: int) -> None:
        self.place = place
        self._user = user

    def make_fifo(self, name: str) -> None:
        """Make a FIFO, or OSError."""
        os.mkfifo(self.place / name, 0o644)
        self._own(self.place / name)

    def write_all(self, sources: Mapping[str, bytes]) -> None:
        """Write files by their names below /tmp, with the folders that they need, or OSError."""
        for name, content in sources.items():
            for parent in reversed(Path(name).parents[:-1]):
                self._make_folder(self.place / parent)
            self._write(self.place / name, content)

    def replace(self, name: str, content: bytes) -> None:
        """Replace the file of this name in one step, or OSError. /tmp must not have other files yet."""
        beside = self.place / f".{name}.new"
        self._write(beside, content)
        beside.rename(self.place / name)

    def make_results(self) -> None:
        """Make the folder for result files, or OSError."""
        self._make_folder(self.place / RESULTS)

    def _make_folder(self, place: Path) -> None:
        if not place.is_dir():
            place.mkdir()
            self._own(place)

    def _write(self, place: Path, content: bytes) -> None:
        """As pathlib does, with half its system calls: a visitor waits for them."""
        descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        try:
            while content:
                content = content[os.write(descriptor, content) :]
        finally:
            os.close(descriptor)
        self._own(place)

    def _own(self, place: Path) -> None:
        os.chown(place, self._user, self._user)
