"""Fetches wheels and unpacks them, within bounds at every byte.

uv would unpack a wheel into its cache before anybody can look at it, without a bound on bytes or files. So this is done
here. A wheel's scripts, headers and data are left out: code in a sandbox imports packages and starts no programs.
"""

import hashlib
import stat
import struct
import time
import unicodedata
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx

from app.packages.resolver import Away, Locked
from app.wire.problems import Code, Refused

_CHUNK = 256 * 1024
_MOST_FILES = 20_000
_MOST_DIRECTORY = 8 * 1024 * 1024
"""Bytes of a wheel's list of files, which is read into memory: each entry takes ten times as much there."""
_END = struct.Struct("<4s4H2LH")
"""The end of a ZIP file: signature, four counts, size and offset of the list of files, length of a comment."""
_END_SIGNATURE, _LONGEST_COMMENT = b"PK\x05\x06", 0xFFFF
_ZIP64, _LOCATOR_SIGNATURE, _LOCATOR_SIZE = 0xFFFFFFFF, b"PK\x06\x07", 20
"""How a file says that it is of the larger kind, whose end is elsewhere."""
_LONGEST_NAME, _LONGEST_PART = 1024, 255
_AT_START = ("sitecustomize", "usercustomize")
"""Modules that Python imports by itself at each start."""


@dataclass
class Room:
    """What is left of a set's bounds: bytes, files, and the moment of time.monotonic() at which it must be done."""

    bytes: int
    deadline: float
    files: int = _MOST_FILES

    def take(self, size: int, files: int = 0) -> None:
        """Take from it, or `Refused`."""
        self.bytes -= size
        self.files -= files
        if self.bytes < 0 or self.files < 0:
            what = "MB" if self.bytes < 0 else f"{_MOST_FILES} files"
            raise Refused(Code.PACKAGES_TOO_LARGE, f"The set is larger than a set may be: too many {what}.")
        if time.monotonic() > self.deadline:
            raise Away("The packages were not ready in time.", "unpacking took too long")


def _not_allowed(locked: Locked, why: str) -> Refused:
    return Refused(Code.PACKAGE_NOT_ALLOWED, f"The wheel of {locked.package.name} can't be used: {why}.")


async def fetch(client: httpx.AsyncClient, locked: Locked, place: Path, room: Room) -> None:
    """Write a wheel to `place`; `Refused` when it is not there, is too large, or is not the one of the lock."""
    digest = hashlib.sha256()
    try:
        async with client.stream("GET", locked.url) as answer:
            if answer.status_code != httpx.codes.OK:
                raise Away("The index of packages can't be reached.", f"{locked.url}: {answer.status_code}")
            with place.open("wb") as file:
                async for chunk in answer.aiter_bytes(_CHUNK):
                    room.take(len(chunk))
                    digest.update(chunk)
                    file.write(chunk)
    except httpx.HTTPError as error:
        raise Away("The index of packages can't be reached.", f"{locked.url}: {error!r}") from error
    if digest.hexdigest() != locked.package.sha256:
        raise _not_allowed(locked, "its SHA-256 is not the one that the index tells")


def unpack(locked: Locked, wheel: Path, site: Path, room: Room) -> None:
    """Unpack a wheel into the folder `site`; `Refused` when it is no wheel, or has a file that may not be there."""
    try:
        _check_directory(wheel)
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                target = _target(locked, entry)
                if target and not entry.is_dir():
                    _write(locked, archive, entry, site / target, room)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        raise _not_allowed(locked, "it is damaged") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _not_allowed(locked, "it has a file where another one has a folder") from error


def _write(locked: Locked, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, place: Path, room: Room) -> None:
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _not_allowed(locked, "it is compressed in an unusual way")
    room.take(0, files=1)
    place.parent.mkdir(parents=True, exist_ok=True)
    with archive.open(entry) as source, place.open("wb") as file:
        while chunk := source.read(_CHUNK):
            room.take(len(chunk))
            file.write(chunk)


def _check_directory(wheel: Path) -> None:
    """Refuse a list of files that is too long to be read, as its end tells."""
    with wheel.open("rb") as file:
        size = file.seek(0, 2)
        start = max(0, size - _END.size - _LONGEST_COMMENT)
        file.seek(start)
        tail = file.read()
    at = tail.rfind(_END_SIGNATURE)
    if at < 0 or len(tail) - at < _END.size:
        raise zipfile.BadZipFile
    *_, entries, length, offset, _ = _END.unpack_from(tail, at)
    is_large = _ZIP64 in (length, offset) or tail[max(0, at - _LOCATOR_SIZE) :].startswith(_LOCATOR_SIGNATURE)
    if is_large or entries > _MOST_FILES or length > _MOST_DIRECTORY:
        raise Refused(Code.PACKAGES_TOO_LARGE, f"A wheel has more than {_MOST_FILES} files.")


def _target(locked: Locked, entry: zipfile.ZipInfo) -> PurePosixPath | None:
    """Where an entry belongs below the site folder; None: nowhere."""
    # zipfile cuts a name at its first NUL, and turns it into this system's separators.
    name = entry.orig_filename.removesuffix("/")
    parts = name.split("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise _not_allowed(locked, f"{name!r} is neither a file nor a folder")
    if (
        "\\" in name
        or len(name.encode()) > _LONGEST_NAME
        or any(part in ("", ".", "..") or len(part.encode()) > _LONGEST_PART for part in parts)
        or any(unicodedata.category(letter) == "Cc" for letter in name)
    ):
        raise _not_allowed(locked, f"{name!r} is not the name of a file below its folder")
    if parts[0].endswith(".data"):
        if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
            return None
        parts = parts[2:]
    if len(parts) == 1 and parts[0].endswith((".pth", ".egg-link")):
        return None
    return None if parts[0].partition(".")[0] in _AT_START else PurePosixPath(*parts)
