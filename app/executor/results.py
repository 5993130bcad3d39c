"""Files that the visitor's code has left to be given back. Read when no process of theirs is alive any more."""

import base64
import errno
import fnmatch
import os
import stat
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from app.executor import syscalls
from app.profile import SandboxProfile
from app.wire.protocol import RESULTS, ResultFile

_KB = 1024
_MOST_WARNINGS = 20
"""Files that are named when they are not given back. A name has at most 255 bytes."""
_MOST_NAMES = 1000
"""Entries of the folder that are compared with patterns."""

Collected = tuple[tuple[ResultFile, ...], tuple[str, ...]]


def collect(
    tmp: Path, patterns: Sequence[str] | None, profile: SandboxProfile, pictures: str | None = None
) -> Collected:
    """The files that the patterns name, and a sentence for each that is not given back.

    Files that match `pictures` are given back too when there are any, whether or not the visitor has asked. Only plain
    files that have no other name, as many and as large together as the profile says.
    """
    if patterns is None and pictures is None:
        return (), ()
    top = os.open(tmp, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        folder = syscalls.open_beneath(top, RESULTS, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if patterns is None:
            return (), ()
        return (), (f"results: the folder can't be read: {error.strerror}.",)
    finally:
        os.close(top)
    try:
        return _collect(folder, patterns or (), profile, pictures)
    finally:
        os.close(folder)


def _collect(folder: int, patterns: Sequence[str], profile: SandboxProfile, pictures: str | None) -> Collected:
    files: list[ResultFile] = []
    wanted, refused = _wanted(folder, patterns, pictures)
    left = profile.result_kb * _KB
    for name in wanted:
        shown = os.fsencode(name).decode(errors="replace")
        if len(files) == profile.result_files:
            refused[shown] = f"More than {profile.result_files} files."
            continue
        content = _content(folder, name, left)
        if isinstance(content, str):
            refused[shown] = content
            continue
        left -= len(content)
        files.append(ResultFile(name=shown, content=base64.b64encode(content).decode(), size=len(content)))
    return tuple(files), _warnings(refused)


def _wanted(folder: int, patterns: Sequence[str], pictures: str | None) -> tuple[list[str], dict[str, str]]:
    """The names in the folder that are to be given back, in order, and why a pattern matches none."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in islice(entries, _MOST_NAMES)]
    wanted = set(fnmatch.filter(names, pictures) if pictures else ())
    refused = {}
    for pattern in patterns:
        # `*` is the only wildcard. A name without one is looked up, however many entries the folder has.
        glob = pattern.replace("[", "[[]").replace("?", "[?]")
        found = {name for name in names if fnmatch.fnmatchcase(name, glob)}
        if "*" not in pattern and _exists(folder, pattern):
            found = {pattern}
        wanted |= found
        if not found:
            refused[pattern] = "There is no such file."
    return sorted(wanted), refused


def _exists(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except (OSError, ValueError):
        return False
    return True


def _warnings(refused: Mapping[str, str]) -> tuple[str, ...]:
    """Why files are not given back: a sentence for each of the first, and one that counts the others."""
    told = tuple(f"results: {name}: {reason}" for name, reason in islice(refused.items(), _MOST_WARNINGS))
    more = len(refused) - len(told)
    return (*told, f"results: {more} more files are not given back.") if more else told


def _content(folder: int, name: str, most: int) -> bytes | str:
    """What the file holds, or a sentence that says why it is not given back."""
    try:
        descriptor = syscalls.open_beneath(folder, name, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            return "It is not a plain file."
        return f"It can't be read: {error.strerror}."
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return "It is not a plain file."
        if found.st_nlink != 1:
            return "It has other names."
        if found.st_size > most:
            return f"It has {found.st_size} bytes; {most} are left for it."
        return os.pread(descriptor, found.st_size, 0)
    finally:
        os.close(descriptor)
