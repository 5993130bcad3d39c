"""Waiting for a condition, with a timeout."""

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(condition: Callable[[], T | None], seconds: float, what: str) -> T:
    """The first true value of `condition`, polled each 50 ms.

    Raises:
        AssertionError: none came within `seconds`; the message names `what`.
    """
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.05)
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
