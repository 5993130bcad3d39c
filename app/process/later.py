"""Work that is left for a moment when no answer waits for it."""

import asyncio
from collections.abc import Callable
from typing import TypeVarTuple

Ts = TypeVarTuple("Ts")

_SECONDS = 0.01
"""Several times what the edge and the visitor take to receive an answer. They need a processor for it: on two cores, an
execution that was counted and logged at once had its answer 1 ms later."""


def later(do: Callable[[*Ts], object], *args: *Ts) -> None:
    """Call `do` in the context of now, when the answer that is about to be sent has arrived."""
    asyncio.get_running_loop().call_later(_SECONDS, do, *args)


async def done() -> None:
    """Wait for all that was left for later so far. It would be lost if the process ended before."""
    await asyncio.sleep(_SECONDS)
