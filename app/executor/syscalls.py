"""System calls that Python 3.11's library lacks. Each raises OSError with the call's errno."""

import ctypes
import os
from dataclasses import dataclass
from pathlib import Path

from app.process.libc import LIBC, checked

RDONLY, NOSUID, NODEV, NOEXEC, REMOUNT, BIND = 1, 2, 4, 8, 32, 4096
"""Flags of mount(2)."""
NEWNS, NEWUTS, NEWIPC, NEWUSER, NEWPID = 0x00020000, 0x04000000, 0x08000000, 0x10000000, 0x20000000
NEWNET = 0x40000000
"""Flags of unshare(2)."""
_DETACH = 2
_OPENAT2 = 437
"""The number of openat2(2), the same on each architecture; Linux 5.6 and later have it."""
_NO_XDEV, _NO_MAGICLINKS, _NO_SYMLINKS, _BENEATH = 1, 2, 4, 8

_CAPABILITIES_V3 = 0x20080522
"""The layout of capset(2): two times 32 bits of the effective, the permitted and the inheritable set."""


@dataclass(frozen=True)
class Mount:
    """A line of /proc/self/mountinfo: mount point, file system type, and the file system's options."""

    place: str
    type: str
    options: frozenset[str]


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def mounts() -> list[Mount]:
    """The mounts of this namespace, in the order in which they were made."""
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        of_the_mount, _, of_the_file_system = line.partition(" - ")
        kind, _, options = of_the_file_system.split(" ")[:3]
        place = of_the_mount.split(" ")[4].encode().decode("unicode_escape")
        found.append(Mount(place, kind, frozenset(options.split(","))))
    return found


def mount(source: str, place: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    # ENOENT may be about a folder that the options name.
    asked = f"{place} ({options})" if options else place
    checked(LIBC.mount(source.encode(), place.encode(), kind.encode(), flags, options.encode()), asked)


def unmount(place: str) -> None:
    """umount2(2) with MNT_DETACH, which succeeds while the mount is in use."""
    checked(LIBC.umount2(place.encode(), _DETACH), place)


def unshare(flags: int) -> None:
    """unshare(2)."""
    checked(LIBC.unshare(flags), "")


def raise_capabilities() -> None:
    """capset(2): make all permitted capabilities effective, which a change of the effective user has ended."""
    header, sets = (ctypes.c_uint32 * 2)(_CAPABILITIES_V3), (ctypes.c_uint32 * 6)()
    checked(LIBC.capget(header, sets), "")
    sets[0], sets[3] = sets[1], sets[4]
    checked(LIBC.capset(header, sets), "")


def open_beneath(folder: int, name: str, flags: int) -> int:
    """openat2(2) below a folder's descriptor. Follows no symbolic link and crosses no mount point."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV)
    return checked(LIBC.syscall(_OPENAT2, folder, os.fsencode(name), ctypes.byref(how), ctypes.sizeof(how)), name)
