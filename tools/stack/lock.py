"""A lock, so that one command at a time changes a stack."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from tools.console.steps import StepFailed
from tools.paths import private_folder


@contextlib.contextmanager
def exclusive(home: Path, command: str) -> Iterator[int]:
    """Hold the stack's lock. Yields its file descriptor, for `Stack(held=...)`.

    The programs that change the stack inherit the descriptor: if this process is killed, the lock lasts until they have
    ended too.

    Raises:
        StepFailed: another command holds it.
    """
    file = private_folder(home) / "lock"
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = file.read_text().strip() or "another command"
            raise StepFailed(
                f"Another command is changing this stack: {holder}, or a pulumi that it started.",
                "Wait until it ends, then run this again.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{command} (process {os.getpid()})\n".encode(), 0)
        yield descriptor
    finally:
        os.close(descriptor)
