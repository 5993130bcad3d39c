"""Copies sets from the packages service of a cluster into the store of a unit."""

import asyncio
import logging
import tarfile
import time
from pathlib import Path, PurePosixPath
from typing import IO

import httpx
from pydantic import TypeAdapter, ValidationError

from app.packages.service import WAITING, busy, finished, with_packages
from app.packages.settings import AT_ONCE, PackagesSettings
from app.packages.store import DESCRIPTION, Entry, Store, complete
from app.packages.tars import entries
from app.packages.unpacking import Away, Room, parts_below, write
from app.process import correlation
from app.wire.media import JSON
from app.wire.packages import (
    BESIDE_SECONDS,
    LAYER,
    PAUSE_SECONDS,
    REPLACED_SECONDS,
    SET_ID,
    News,
    PackageSet,
    Prepared,
    Unprepared,
    Wanted,
    asked,
)
from app.wire.problems import Refused

_log = logging.getLogger(__name__)

_MB = 1024 * 1024
_CHUNK = 256 * 1024
_LONGEST_NEWS = 1 * _MB
_LONGEST_DESCRIPTION = 1 * _MB
_HEADERS_MB = 64
"""MB of a stream beside the bytes of its files: the most files, with the longest names."""
_ASKED_AT_ONCE = 256
"""Connections to the packages service of requests that wait for sets: each has one."""
_QUICK_SECONDS = 5.0
_NEWS: TypeAdapter[News] = TypeAdapter(News)


class _Gone(Exception):
    """The packages service has the set no more, or has gone away with it. The message is the cause for the log."""


class Copies:
    """Has each set made by the packages service at `settings.source`, and copies it once for all that ask for it.

    What is in the store already needs no other service.
    """

    def __init__(self, settings: PackagesSettings, store: Store) -> None:
        self._settings = settings
        self._store = store
        self._copying: dict[str, asyncio.Task[None]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._asking = self._client(_ASKED_AT_ONCE)
        # Requests that wait take no connection from the copy that they wait for.
        self._fetching = self._client(AT_ONCE)

    async def prepare(self, wanted: Wanted) -> News:
        """The set or its refusal, or the next step towards it. Whoever stops waiting stops nothing."""
        try:
            with_packages(wanted.environment)
            key = asked(self._settings.store, wanted.environment, wanted.packages).name
            if found := self._store.find(key):
                return Prepared(set=found)
            return await self._made(key, wanted)
        except OSError as error:
            return _refusal(Away("The packages could not be stored.", repr(error)))
        except Refused as refused:
            return _refusal(refused)

    def _client(self, connections: int) -> httpx.AsyncClient:
        waiting = self._settings.seconds + BESIDE_SECONDS
        return httpx.AsyncClient(
            base_url=self._settings.source or "",
            trust_env=False,
            timeout=httpx.Timeout(waiting, connect=_QUICK_SECONDS, pool=_QUICK_SECONDS),
            limits=httpx.Limits(max_connections=connections),
        )

    async def _made(self, key: str, wanted: Wanted) -> News:
        """What the packages service tells each client that asks for a set: it counts them. At the end, a copy."""
        cause = ""
        for _ in range(2):
            news = await self._ask(wanted)
            if not isinstance(news, Prepared):
                return news
            try:
                return Prepared(set=await self._copied(key, self._checked(news.set, wanted)))
            except _Gone as gone:  # it is made again, or another service has it
                cause = str(gone)
        raise _away(cause)

    async def _ask(self, wanted: Wanted) -> News:
        end = time.monotonic() + REPLACED_SECONDS
        while True:
            # To ask twice prepares nothing twice.
            try:
                return await self._news(wanted)
            except (httpx.HTTPError, ValidationError) as error:
                if time.monotonic() > end:
                    raise _away(repr(error)) from error
                await asyncio.sleep(PAUSE_SECONDS)

    async def _news(self, wanted: Wanted) -> News:
        now = correlation.current.get()
        headers = {"Content-Type": JSON, **(now.headers if now else {})}
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self._settings.seconds + BESIDE_SECONDS),
                self._asking.stream("POST", "/prepare", headers=headers, content=wanted.model_dump_json()) as answer,
            ):
                async for chunk in answer.aiter_raw(_CHUNK):
                    body += chunk
                    if len(body) > _LONGEST_NEWS:
                        raise _away("its answer has no end")
        except TimeoutError as error:
            raise _away("it has not answered in time") from error
        return _NEWS.validate_json(bytes(body))

    def _checked(self, made: PackageSet, wanted: Wanted) -> PackageSet:
        """The set, if it can be what was asked for: its id names a folder."""
        fits = made.environment == wanted.environment and 0 <= made.size <= self._settings.set_mb * _MB
        if not (SET_ID.fullmatch(made.id) and fits):
            raise _away(f"it tells of a set {made.id!r} of {made.size} bytes for {made.environment!r}")
        return made

    async def _copied(self, key: str, made: PackageSet) -> PackageSet:
        found = self._store.use(made.id)
        if found and found.environment != made.environment:
            raise _away(f"the set {made.id} is for {found.environment!r}, and it tells of it for {made.environment!r}")
        if not found:
            if made.id not in self._copying:
                self._start(made)
            copying = self._copying[made.id]
            await asyncio.wait([copying])
            copying.result()
            found = made
        self._store.link(key, made.id)
        return found

    def _start(self, made: PackageSet) -> None:
        if len(self._copying) >= WAITING:
            raise busy()
        copying = self._copying[made.id] = asyncio.create_task(self._copy(made))

        def done(task: asyncio.Task[None]) -> None:
            del self._copying[made.id]
            error = None if task.cancelled() else task.exception()
            if error and not isinstance(error, Refused | _Gone):
                _log.error("a set could not be copied", exc_info=error)

        copying.add_done_callback(done)

    async def _copy(self, made: PackageSet) -> None:
        seconds = self._settings.seconds
        async with self._places:
            room = Room(made.size, time.monotonic() + seconds)
            try:
                with self._store.workplace() as place:
                    async with asyncio.timeout(seconds):
                        await self._fetch(made, place / "archive")
                        entry = await finished(asyncio.to_thread(_unpack, made, place, room))
                    self._store.keep(entry, place)
            except TimeoutError as error:
                raise Away("The packages were not copied in time.", f"over {seconds} s") from error

    async def _fetch(self, made: PackageSet, archive: Path) -> None:
        """Write the stream of a set to a file."""
        left = made.size + _HEADERS_MB * _MB
        try:
            async with self._fetching.stream("GET", f"/sets/{made.id}") as answer:
                if answer.status_code == httpx.codes.NOT_FOUND:
                    raise _Gone(f"it has the set {made.id} no more")
                if answer.status_code != httpx.codes.OK:
                    raise _away(f"it answers {answer.status_code} for a set")
                with archive.open("wb") as file:
                    async for chunk in answer.aiter_raw(_CHUNK):
                        left -= len(chunk)
                        if left < 0:
                            raise _away("the stream of a set has no end")
                        file.write(chunk)
        except httpx.HTTPError as error:
            raise _Gone(f"the stream of a set: {error!r}") from error


def _unpack(made: PackageSet, place: Path, room: Room) -> Entry:
    """Unpack a set's stream in its workplace, and complete it. `Away` when it is not the set, or has more than that.

    The names, kinds and sizes of its files are held to what the packages service itself takes from an index.
    """
    site = place / LAYER / str(with_packages(made.environment).site)
    site.mkdir(parents=True)
    archive = place / "archive"
    described: Entry | None = None
    try:
        for entry, content in entries(archive.open("rb", buffering=0)):
            if content is None:
                raise ValueError(f"{entry.name!r} is no plain file")
            if described is None:
                described = _described(entry.name, content)
            else:
                write(content, site, PurePosixPath(*parts_below(entry.name)), room)
    except (tarfile.TarError, EOFError, OverflowError, RuntimeError, ValueError) as error:
        raise _away(f"the stream of a set can't be read: {error}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise _away(f"the stream of a set has a file in place of a folder: {error}") from error
    except Away:
        raise
    except Refused as refused:
        raise _away(f"the stream of a set is larger than the set: {refused}") from refused
    archive.unlink()
    found = complete(made, place)
    if described is None or (described.set, described.digest) != (made, found.digest):
        raise _away(f"what it has sent is not the set {made.id}")
    return found


def _described(name: str, content: IO[bytes]) -> Entry:
    """The description, with which a stream begins. Raises ValueError when it is none."""
    text = content.read(_LONGEST_DESCRIPTION)
    if name != DESCRIPTION:
        raise ValueError(f"it begins with {name!r}")
    return Entry.model_validate_json(text)


def _refusal(refused: Refused) -> News:
    if isinstance(refused, Away):
        _log.error("packages could not be copied: %s", refused.cause)
    return Unprepared(problem=refused.problem)


def _away(cause: str) -> Away:
    return Away("Packages can't be prepared now.", f"the packages service: {cause}")
