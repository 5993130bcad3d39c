"""An `up` that is cut off at any moment is mended by the next one."""

import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from tests.stacks import ONLY_CORE, StackFactory, free_port
from tools import health, leftovers
from tools.prepare import Prepared
from tools.stack import Stack
from tools.steps import Report


@pytest.mark.parametrize(("blow", "after_containers"), [(signal.SIGINT, 1), (signal.SIGKILL, 3)])
def test_an_interrupted_up_is_mended_by_the_next(
    new_stack: StackFactory, prepared: Prepared, report: Report, blow: signal.Signals, after_containers: int
) -> None:
    port = free_port()
    stack = new_stack(edge={"http_port": port}, services=ONLY_CORE)
    _cut_off(stack, prepared, report, blow, after_containers)
    stack.mend(report)
    stack.up(report)
    health.wait(prepared.engine, stack.prefix, f"http://localhost:{port}", report)
    stack.preview(report, "--expect-no-changes")
    stack.destroy(report)
    assert leftovers.find(prepared.engine.client(), stack.prefix).names == []


def _cut_off(stack: Stack, prepared: Prepared, report: Report, blow: signal.Signals, after_containers: int) -> None:
    """Run `up` in a process group of its own and strike all of it once so many containers are there."""
    client = prepared.engine.client()
    running = multiprocessing.get_context("fork").Process(target=_up, args=(stack, report))
    running.start()
    try:
        deadline = time.monotonic() + 60
        while (
            len([name for name in leftovers.find(client, stack.prefix).names if name.startswith("container")])
            < after_containers
        ):
            assert running.is_alive(), "up ended before it could be interrupted"
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert running.pid is not None
        for child in _descendants(running.pid) if blow is signal.SIGKILL else []:
            os.kill(child, blow)
        os.kill(running.pid, blow)
        running.join(60)
        assert running.exitcode != 0
    finally:
        running.kill()
        running.join()


def _up(stack: Stack, report: Report) -> None:
    os.setpgid(0, 0)
    stack.up(report)


def _descendants(pid: int) -> list[int]:
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [each for child in map(int, children) for each in (child, *_descendants(child))]
