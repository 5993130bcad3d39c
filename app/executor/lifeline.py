"""The way back to an engine that was restarted while this container lived on.

Such an engine may listen on a new socket, while the one that was mounted here leads nowhere for ever. The engine starts
a service that ends again, with the new socket: so the way back is to end.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

from app.executor.engine import EngineError

_log = logging.getLogger("app.executor")

_PATIENCE_SECONDS = 15
"""Longer than a restart of the engine takes."""
_SECONDS_BETWEEN = 3


async def end_when_cut_off(
    ping: Callable[[], Awaitable[None]],
    end: Callable[[], object],
    patience_seconds: float = _PATIENCE_SECONDS,
    seconds_between: float = _SECONDS_BETWEEN,
) -> None:
    """Call `end` once no ping has been answered for so long."""
    answered = time.monotonic()
    while time.monotonic() - answered < patience_seconds:
        await asyncio.sleep(seconds_between)
        try:
            await ping()
        except EngineError as error:
            _log.warning("the engine does not answer: %s", error)
        else:
            answered = time.monotonic()
    _log.error("the engine has not answered for %g s: ending, to be started with its new socket", patience_seconds)
    end()
