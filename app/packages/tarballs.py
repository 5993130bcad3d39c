"""Unpacks npm's tarballs. No script of theirs is run: one that is installed by a script is refused."""

import gzip
import json
import tarfile
from pathlib import Path, PurePosixPath

from app.packages.tars import entries
from app.packages.unpacking import Locked, Room, not_allowed, parts_of, usable, write
from app.wire.problems import Code, Refused

_LONGEST_DESCRIPTION = 4 * 1024 * 1024
_DESCRIPTION, _BUILT = "package.json", "binding.gyp"
_SCRIPTS = ("preinstall", "install", "postinstall")


def unpack(locked: Locked, tarball: Path, site: Path, room: Room) -> None:
    """Unpack a tarball into its place below `site`; `Refused` when it is none, or has a file that may not be there."""
    folder = site.joinpath(*parts_of(locked, locked.place))
    with usable(locked, tarfile.TarError, gzip.BadGzipFile):
        for entry, source in entries(gzip.GzipFile(tarball)):
            target = _target(locked, entry, is_file=source is not None)
            if target and source:
                write(source, site, target, room)
            else:
                room.take(0, files=1)
    _check_built(locked, folder)


def _target(locked: Locked, entry: tarfile.TarInfo, *, is_file: bool) -> PurePosixPath | None:
    """Where an entry belongs below the site folder; None: nowhere."""
    if not (is_file or entry.isdir()):
        raise not_allowed(locked, f"{entry.name!r} is neither a file nor a folder")
    # npm takes the first part away, whatever it is.
    _, *parts = parts_of(locked, entry.name)
    return PurePosixPath(*parts_of(locked, "/".join((locked.place, *parts)))) if parts else None


def _check_built(locked: Locked, folder: Path) -> None:
    """Refuse what is installed by a script, whether or not the index tells."""
    try:
        with (folder / _DESCRIPTION).open("rb") as file:
            described = json.loads(file.read(_LONGEST_DESCRIPTION))
        scripts = described.get("scripts") or {}
        built = (folder / _BUILT).exists() and described.get("gypfile") is not False
        if built or any(scripts.get(name) for name in _SCRIPTS):
            raise needs_build(locked.package.name)
    except (OSError, ValueError, AttributeError, RecursionError) as error:
        raise not_allowed(locked, "it has no package.json that can be read") from error


def needs_build(name: str) -> Refused:
    """The refusal of a package with a script that npm would run to install it."""
    return Refused(Code.PACKAGE_NEEDS_BUILD, f"{name} is installed by a script of its own, and nothing is run here.")
