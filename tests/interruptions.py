"""Cutting a command off at a moment that is worth it."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

_SECONDS = 240


def cut_off(run: Callable[[], object], is_time: Callable[[], bool], strike: Callable[[int], None]) -> None:
    """Run something in a process group of its own, strike when it is time (given its process id), and see it fail."""
    running = multiprocessing.get_context("fork").Process(target=_in_own_group, args=(run,))
    running.start()
    try:
        deadline = time.monotonic() + _SECONDS
        while not is_time():
            assert running.is_alive(), "it ended before it could be cut off"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert running.pid is not None
        strike(running.pid)
        running.join(_SECONDS)
        assert running.exitcode != 0
    finally:
        running.kill()
        running.join()


def interrupt(pid: int) -> None:
    """What Ctrl-C does."""
    os.kill(pid, signal.SIGINT)


def kill(pid: int) -> None:
    """End it and everything that it started, at once."""
    for each in (*_descendants(pid), pid):
        os.kill(each, signal.SIGKILL)


def _in_own_group(run: Callable[[], object]) -> None:
    os.setpgid(0, 0)
    run()


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *_descendants(child))]
