"""The device files of the sandboxes. Each slot has inodes of its own: whoever shares one can see others' locks on it.

A user namespace can't make device files, so the launcher makes them for as many sandboxes as there can be at once. In a
namespace itself, it takes those of the executor's image, whose place on the host a sandbox can read in its mounts.
"""

import os
import stat
from pathlib import Path

from app.executor import syscalls

SLOTS = 512
FOLDER = Path("/run/devices")
OF_IMAGE = Path("/usr/local/lib/sandbox/devices")
NAMES = {"full": (1, 7), "null": (1, 3), "random": (1, 8), "tty": (5, 0), "urandom": (1, 9), "zero": (1, 5)}
"""The character devices that a program expects, with the kernel's numbers."""
_MODE = 0o666


def make() -> None:
    """Make the device files of all slots in memory, or OSError. Needs CAP_MKNOD."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    options = f"mode=755,nr_inodes={SLOTS * 8}"
    syscalls.mount("devices", str(FOLDER), "tmpfs", syscalls.NOSUID | syscalls.NOEXEC, options)
    fill(FOLDER)


def take() -> None:
    """Use those of the image, or OSError. The folder is there."""
    syscalls.mount(str(OF_IMAGE), str(FOLDER), "", syscalls.BIND)


def fill(place: Path) -> None:
    """Make the device files of all slots in a folder."""
    for slot in range(SLOTS):
        folder = place / str(slot)
        folder.mkdir(parents=True)
        for name, numbers in NAMES.items():
            os.mknod(folder / name, stat.S_IFCHR | _MODE, os.makedev(*numbers))
            (folder / name).chmod(_MODE)


def folder_of(slot: int) -> str:
    """The folder with a slot's device files. The runtime sees it as /dev, and takes them from there."""
    return str(FOLDER / str(slot))
