"""Cancels work whose client has disconnected."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import anyio
from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`; when the client hangs up, `work` is cancelled and `ClientDisconnect` raised.

    The request's body must have been read.

    A cancel scope is used in place of the task's `cancel`, which would also abandon calls in threads: a sandbox that is
    being created would then never be removed.
    """
    with anyio.CancelScope() as scope:

        def gone(watcher: asyncio.Future[None]) -> None:
            if not watcher.cancelled():
                scope.cancel()

        watching = asyncio.ensure_future(hang_up(request))
        watching.add_done_callback(gone)
        try:
            return await work
        finally:
            watching.cancel()
    raise ClientDisconnect


async def hang_up(request: Request) -> None:
    """Return when the client closes its connection. The request's body must have been read."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
