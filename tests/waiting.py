"""Waiting for a condition, with a timeout."""

import asyncio
import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

SLOWNESS = float(os.environ.get("VPS_TEST_SLOWNESS", "1"))
"""How many times longer than on a usual machine the tests may wait: more on a host that is emulated."""


def until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    """The first true value of `condition`, polled each 50 ms at first and up to each 250 ms when it lasts, on a usual
    machine: a slow one would have nothing else to do.

    Raises:
        AssertionError: none came within `seconds` of a usual machine; the message names `what`.
    """
    began = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - began
        assert waited < seconds * SLOWNESS, f"waited {seconds * SLOWNESS:g} s for {what}"
        time.sleep(min(0.25, 0.05 + waited / SLOWNESS / 20) * SLOWNESS)
    return found


async def comes_to_hold(condition: Callable[[], object]) -> None:
    """Wait until the condition holds, polled each 10 ms while the event loop runs.

    Raises:
        AssertionError: it does not hold within about 5 s.
    """
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not hold within 5 s")
