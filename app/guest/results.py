"""Files that the visitor's code has left to be given back. Read when no process of theirs is alive any more."""

import errno
import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence

FOLDER = "/tmp/results"  # noqa: S108 - a path inside the sandbox
_MOST_NAMES = 1000
"""Entries of the folder that are looked at."""


def collect(patterns: Sequence[str], most: int, most_bytes: int) -> Iterator[tuple[str, bytes | str]]:
    """Name and content of each file that a pattern names, or the reason, a sentence, why it is not given back.

    Only plain files that have no other name, `most` of them with `most_bytes` together.
    """
    try:
        # gVisor of 2022 follows a link to a folder all the same. Nobody is left who could make one after this.
        if os.path.islink(FOLDER):
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
        folder = os.open(FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        yield FOLDER, f"The folder can't be read: {error.strerror}."
        return
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry, _ in zip(entries, range(_MOST_NAMES), strict=False))
    wanted = [name for name in names if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    for pattern in patterns:
        if not any(fnmatch.fnmatchcase(name, pattern) for name in names):
            yield pattern, "There is no such file."
    for name in wanted[most:]:
        yield name, f"More than {most} files."
    for name in wanted[:most]:
        content = _content(folder, name, most_bytes)
        if isinstance(content, bytes):
            most_bytes -= len(content)
        yield name, content
    os.close(folder)


def _content(folder: int, name: str, most_bytes: int) -> bytes | str:
    try:
        # Neither through a link, nor waiting for the other end of a pipe.
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError as error:
        return f"It can't be read: {error.strerror}."
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return "It is not a plain file."
        if found.st_nlink != 1:
            return "It has other names."
        if found.st_size > most_bytes:
            return f"It has {found.st_size} bytes; {most_bytes} are left for it."
        # Nobody is left who could make it longer.
        return os.pread(descriptor, found.st_size, 0)
    finally:
        os.close(descriptor)
