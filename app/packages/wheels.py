"""Unpacks wheels. Scripts, headers and data are left out: code in a sandbox imports packages and starts no programs."""

import stat
import struct
import zipfile
from pathlib import Path, PurePosixPath

from app.packages.unpacking import MOST_FILES, Locked, Room, not_allowed, parts_of, usable, write
from app.wire.problems import Code, Refused

_MOST_DIRECTORY = 8 * 1024 * 1024
"""Bytes of a wheel's list of files, which is read into memory: each entry takes ten times as much there."""
_END = struct.Struct("<4s4H2LH")
"""The end of a ZIP file: signature, four counts, size and offset of the list of files, length of a comment."""
_END_SIGNATURE, _LONGEST_COMMENT = b"PK\x05\x06", 0xFFFF
_ZIP64, _LOCATOR_SIGNATURE, _LOCATOR_SIZE = 0xFFFFFFFF, b"PK\x06\x07", 20
"""How a file says that it is of the larger kind, whose end is elsewhere."""
_AT_START = ("sitecustomize", "usercustomize")
"""Modules that Python imports by itself at each start."""


def unpack(locked: Locked, wheel: Path, site: Path, room: Room) -> None:
    """Unpack a wheel into the folder `site`; `Refused` when it is no wheel, or has a file that may not be there."""
    with usable(locked, zipfile.BadZipFile):
        _check_directory(wheel)
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                target = _target(locked, entry)
                if target and not entry.is_dir():
                    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise not_allowed(locked, "it is compressed in an unusual way")
                    with archive.open(entry) as source:
                        write(source, site, target, room)


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
    if is_large or entries > MOST_FILES or length > _MOST_DIRECTORY:
        raise Refused(Code.PACKAGES_TOO_LARGE, f"A wheel has more than {MOST_FILES} files.")


def _target(locked: Locked, entry: zipfile.ZipInfo) -> PurePosixPath | None:
    """Where an entry belongs below the site folder; None: nowhere."""
    # zipfile cuts a name at its first NUL, and turns it into this system's separators.
    name = entry.orig_filename.removesuffix("/")
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise not_allowed(locked, f"{name!r} is neither a file nor a folder")
    parts = parts_of(locked, name)
    if parts[0].endswith(".data"):
        if len(parts) < 3 or parts[1] not in ("purelib", "platlib"):
            return None
        parts = parts[2:]
    if len(parts) == 1 and parts[0].endswith((".pth", ".egg-link")):
        return None
    return None if parts[0].partition(".")[0] in _AT_START else PurePosixPath(*parts)
