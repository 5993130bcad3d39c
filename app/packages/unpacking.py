"""Fetches what a lock names, and writes its files within bounds at every byte.

The tools that make locks would unpack a package into their cache before anybody can look at it, without a bound on
bytes or files. So this is done here.
"""

import contextlib
import hashlib
import re
import time
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import httpx

from app.wire.packages import LockedPackage
from app.wire.problems import Code, Refused

_CHUNK = 256 * 1024
MOST_FILES = 20_000
_LONGEST_NAME, _LONGEST_PART = 1024, 255
_RETRY_SECONDS = 10


@dataclass(frozen=True)
class Locked:
    """A package of a lock, and where its archive is.

    `size` is in bytes, None when the index does not tell it. `place` is its folder below the folder of all packages;
    archives with several top folders have none.
    """

    package: LockedPackage
    url: str
    size: int | None
    place: str = ""


class Away(Refused):
    """The index or the service is at fault; `cause` is for the log."""

    def __init__(self, detail: str, cause: str) -> None:
        super().__init__(Code.PACKAGES_UNAVAILABLE, f"{detail} Code without packages runs as ever.", _RETRY_SECONDS)
        self.cause = re.sub(r"\s+", " ", cause)[:1000]


@dataclass
class Room:
    """What is left of a set's bounds: bytes, files, folders, and the moment of time.monotonic() at which it must be
    done."""

    bytes: int
    deadline: float
    files: int = MOST_FILES
    folders: int = MOST_FILES

    def take(self, size: int, files: int = 0, folders: int = 0) -> None:
        """Take from it, or `Refused`."""
        self.bytes -= size
        self.files -= files
        self.folders -= folders
        if self.bytes < 0 or self.files < 0 or self.folders < 0:
            what = "MB" if self.bytes < 0 else "files" if self.files < 0 else "folders"
            raise Refused(Code.PACKAGES_TOO_LARGE, f"The set is larger than a set may be: too many {what}.")
        if time.monotonic() > self.deadline:
            raise Away("The packages were not ready in time.", "unpacking took too long")


def not_allowed(locked: Locked, why: str) -> Refused:
    """The refusal of an archive."""
    return Refused(Code.PACKAGE_NOT_ALLOWED, f"The archive of {locked.package.name} can't be used: {why}.")


@contextlib.contextmanager
def usable(locked: Locked, *faults: type[Exception]) -> Iterator[None]:
    """Refuse an archive that is damaged, or whose files do not fit. `faults` are the errors of its format alone."""
    damages: tuple[type[Exception], ...] = (*faults, zlib.error, EOFError, OverflowError, RuntimeError, ValueError)
    try:
        yield
    except damages as error:
        raise not_allowed(locked, "it is damaged") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise not_allowed(locked, "it has a file where another one has a folder") from error


async def fetch(client: httpx.AsyncClient, locked: Locked, place: Path, room: Room) -> None:
    """Write an archive to `place`; `Refused` when it is not there, is too large, or is not the one of the lock."""
    algorithm, _, expected = locked.package.hash.partition(":")
    digest = hashlib.new(algorithm)
    try:
        async with client.stream("GET", locked.url, headers={"Accept-Encoding": "identity"}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Away("The index of packages can't be reached.", f"{locked.url}: {answer.status_code}")
            with place.open("wb") as file:
                async for chunk in answer.aiter_raw(_CHUNK):
                    room.take(len(chunk))
                    digest.update(chunk)
                    file.write(chunk)
    except httpx.HTTPError as error:
        raise Away("The index of packages can't be reached.", f"{locked.url}: {error!r}") from error
    if digest.hexdigest() != expected:
        raise not_allowed(locked, f"its {algorithm.upper().replace('SHA', 'SHA-')} is not the one that the index tells")


def parts_of(locked: Locked, name: str) -> Sequence[str]:
    """The parts of a file's name below the package's folder, or `Refused`."""
    try:
        return parts_below(name)
    except ValueError as error:
        raise not_allowed(locked, str(error)) from error


def parts_below(name: str) -> Sequence[str]:
    """The parts of the name of a file below a folder. Raises ValueError when it leads elsewhere, or is unusual."""
    parts = name.split("/")
    if (
        "\\" in name
        or len(name.encode(errors="surrogatepass")) > _LONGEST_NAME
        or any(part in ("", ".", "..") or len(part.encode(errors="surrogatepass")) > _LONGEST_PART for part in parts)
        or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in name)
    ):
        raise ValueError(f"{name!r} is not the name of a file below its folder")
    return parts


def write(source: IO[bytes], site: Path, target: PurePosixPath, room: Room) -> None:
    """Write a file below the folder `site`, with the folders that it needs."""
    place = site / target
    room.take(0, files=1, folders=_missing(place.parent, site))
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.open("wb") as file:
        while chunk := source.read(_CHUNK):
            room.take(len(chunk))
            file.write(chunk)


def _missing(folder: Path, site: Path) -> int:
    """The number of folders from this one up to `site` that are not there."""
    count = 0
    while folder != site and not folder.is_dir():
        folder, count = folder.parent, count + 1
    return count
