"""The Valkey that units share."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from limits.errors import StorageError

STORE_SECONDS = 1.0
"""Seconds for it to answer."""


class SharedStore:
    """A client of the Valkey at a URL. It connects when it is first asked something."""

    def __init__(self, url: str) -> None:
        import valkey.asyncio as valkey  # noqa: PLC0415 - only where units share one

        self._error = valkey.ValkeyError
        self.client = valkey.Valkey.from_url(url, socket_timeout=STORE_SECONDS, socket_connect_timeout=STORE_SECONDS)

    @asynccontextmanager
    async def available(self) -> AsyncIterator[None]:
        """Raise `StorageError` for what the store's client raises."""
        try:
            yield
        except self._error as error:
            raise StorageError(error) from error
