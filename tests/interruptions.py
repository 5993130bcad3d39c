"""Interrupts a command at a chosen moment."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

from tests.waiting import SLOWNESS

_SECONDS = 240 * SLOWNESS


def cut_off(run: Callable[[], object], is_time: Callable[[], bool], strike: Callable[[int], None]) -> None:
    """Run `run` in a process group of its own, call `strike` with its process id once `is_time` holds, and check that
    it fails. Each wait takes at most 240 s of a usual machine.
    """
    running = multiprocessing.get_context("fork").Process(target=_in_own_group, args=(run,))
    running.start()
    try:
        deadline = time.monotonic() + _SECONDS
        while not is_time():
            assert running.is_alive(), "it ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert running.pid is not None
        strike(running.pid)
        running.join(_SECONDS)
        assert running.exitcode != 0
    finally:
        running.kill()
        running.join()


def interrupt(pid: int) -> None:
    """Send SIGINT, as Ctrl-C does."""
    os.kill(pid, signal.SIGINT)


def kill(pid: int) -> None:
    """Send SIGKILL to the process and all of its descendants."""
    for each in (*_descendants(pid), pid):
        os.kill(each, signal.SIGKILL)


def _in_own_group(run: Callable[[], object]) -> None:
    os.setpgid(0, 0)
    run()


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *_descendants(child))]
