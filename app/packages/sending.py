"""Sends a set as one stream: a tar of its description, and of its files by their names below its site folder."""

import asyncio
import logging
import os
import tarfile
from collections.abc import Iterator
from pathlib import Path

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from app.environments import ENVIRONMENTS
from app.packages.store import DESCRIPTION, HeldSet
from app.wire.packages import LAYER

_log = logging.getLogger(__name__)

_CHUNK = 256 * 1024
_BLOCK = tarfile.BLOCKSIZE
SENT_AT_ONCE = 8
"""Streams at the same time. Each holds some chunks in memory."""


class SetStream(StreamingResponse):
    """The answer with a set, which it closes. One that is not sent within `seconds` is cut off, which the other side
    notices."""

    def __init__(self, held: HeldSet, places: asyncio.Semaphore, seconds: float) -> None:
        site = held.place / LAYER / str(ENVIRONMENTS[held.set.environment].site)
        super().__init__(_chunks(_tar(held.place / DESCRIPTION, site)), media_type="application/x-tar")
        self._held = held
        self._places = places
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See Starlette."""
        try:
            async with asyncio.timeout(self._seconds), self._places:
                await super().__call__(scope, receive, send)
        except TimeoutError:
            _log.warning("a set was not sent within %d s", self._seconds)
        finally:
            self._held.close()


def _tar(description: Path, site: Path) -> Iterator[bytes]:
    yield from _entry(DESCRIPTION, description)
    for folder, folders, files in os.walk(site):
        folders.sort()
        for name in sorted(files):
            file = Path(folder, name)
            yield from _entry(file.relative_to(site).as_posix(), file)
    yield bytes(2 * _BLOCK)


def _entry(name: str, file: Path) -> Iterator[bytes]:
    entry = tarfile.TarInfo(name)
    with file.open("rb") as content:
        left = entry.size = os.fstat(content.fileno()).st_size
        yield entry.tobuf(tarfile.PAX_FORMAT)
        while left:
            chunk = content.read(min(left, _CHUNK))
            if not chunk:
                raise EOFError(f"{name} has become shorter")
            yield chunk
            left -= len(chunk)
    yield bytes(-entry.size % _BLOCK)


def _chunks(parts: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer parts, since each is read in a thread."""
    chunk = bytearray()
    for part in parts:
        chunk += part
        if len(chunk) >= _CHUNK:
            yield bytes(chunk)
            chunk.clear()
    yield bytes(chunk)
