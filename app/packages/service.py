"""Prepares sets: each once, for any number of requests that ask for it at the same time."""

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import httpx
from limits import RateLimitItemPerHour
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from app.environments import ENVIRONMENTS, Environment
from app.packages.index import Index
from app.packages.metrics import Metrics
from app.packages.npm import Npm
from app.packages.pypi import PyPi
from app.packages.settings import AT_ONCE, PackagesSettings
from app.packages.store import Store, complete
from app.packages.unpacking import Away, Locked, Room, fetch
from app.wire.packages import LAYER, News, PackageSet, Prepared, Unprepared, Wanted, asked
from app.wire.problems import Code, Refused
from app.wire.protocol import Preparing

T = TypeVar("T")
_log = logging.getLogger(__name__)

WAITING = 32
"""Sets that are being made, or wait for that."""
_MB = 1024 * 1024
_BUSY_SECONDS = 5
_REFUSAL_SECONDS = 1.0
"""For so long a refusal is told to all that ask for the same, before it is tried again."""


@dataclass(eq=False)
class _Preparation:
    """A preparation that is under way. `changed` is set, and replaced, at each step."""

    step: Preparing = field(default_factory=lambda: Preparing(step="waiting"))
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def goes_on(self, step: Preparing) -> None:
        """Tell all that wait."""
        self.step = step
        self.changed.set()
        self.changed = asyncio.Event()


class Preparations:
    """All preparations of the process. The tools that make locks have their files below `folder`."""

    def __init__(self, settings: PackagesSettings, store: Store, folder: Path, metrics: Metrics) -> None:
        self._settings = settings
        self._store = store
        self._indexes = {"pypi": PyPi(settings, folder / "uv"), "npm": Npm(settings, folder)}
        self._metrics = metrics
        self._running: dict[str, tuple[_Preparation, asyncio.Task[PackageSet]]] = {}
        self._places = asyncio.Semaphore(AT_ONCE)
        self._counted = MovingWindowRateLimiter(MemoryStorage())
        self._limit = RateLimitItemPerHour(settings.sets_per_hour)
        self._client = httpx.AsyncClient(trust_env=False, timeout=settings.seconds)

    async def prepare(self, wanted: Wanted) -> News:
        """The set or its refusal, or the next step towards it. Whoever stops waiting stops nothing."""
        try:
            environment = with_packages(wanted.environment)
            key = asked(self._settings.store, wanted.environment, wanted.packages).name
            if key not in self._running:
                if found := self._store.find(key):
                    return Prepared(set=found)
                self._start(key, environment, wanted)
            preparation, task = self._running[key]
            while not task.done():
                if preparation.step.step != wanted.seen:
                    return preparation.step
                changing = asyncio.ensure_future(preparation.changed.wait())
                await asyncio.wait([task, changing], return_when=asyncio.FIRST_COMPLETED)
                changing.cancel()
            return Prepared(set=await task)
        except Refused as refused:
            return Unprepared(problem=refused.problem)

    def _start(self, key: str, environment: Environment, wanted: Wanted) -> None:
        if sum(not task.done() for _, task in self._running.values()) >= WAITING:
            raise busy()
        if not self._counted.hit(self._limit, wanted.client):
            reset = self._counted.get_window_stats(self._limit, wanted.client).reset_time
            raise Refused(
                Code.RATE_LIMITED,
                f"At most {self._limit.amount} new sets of packages an hour are prepared for one client.",
                max(1, round(reset - time.time())),
            )
        preparation = _Preparation()
        task = asyncio.create_task(self._prepare(preparation, key, environment, wanted))
        self._running[key] = preparation, task

        def done(task: asyncio.Task[PackageSet]) -> None:
            error = None if task.cancelled() else task.exception()
            if error is None:
                del self._running[key]
                return
            # All that wait may ask once more for the refusal.
            asyncio.get_running_loop().call_later(_REFUSAL_SECONDS, self._running.pop, key)
            if not isinstance(error, Refused):
                _log.error("a preparation has failed", exc_info=error)

        task.add_done_callback(done)

    async def _prepare(
        self, preparation: _Preparation, key: str, environment: Environment, wanted: Wanted
    ) -> PackageSet:
        outcome = "prepared"
        try:
            index: Index = self._indexes[str(environment.index)]
            packages = index.asked(wanted.packages)
            async with self._places:
                started = time.monotonic()
                room = Room(self._settings.set_mb * _MB, started + self._settings.seconds)
                try:
                    async with asyncio.timeout(self._settings.seconds):
                        preparation.goes_on(Preparing(step="resolving"))
                        lock = await index.resolve(packages, environment, wanted.installed)
                        preparation.goes_on(Preparing(step="fetching"))
                        found = await self._fetch(environment, index, lock, room)
                except TimeoutError:
                    raise Away("The packages were not ready in time.", f"over {self._settings.seconds} s") from None
                self._store.link(key, found.id)
                self._metrics.seconds.observe(time.monotonic() - started)
                return found
        except Refused as refused:
            outcome = refused.problem.code
            if isinstance(refused, Away):
                _log.error("packages could not be prepared: %s", refused.cause)
            raise
        except OSError as error:
            outcome = Code.PACKAGES_UNAVAILABLE
            _log.exception("packages could not be prepared")
            raise Away("The packages could not be stored.", str(error)) from error
        finally:
            self._metrics.preparations.labels(outcome).inc()

    async def _fetch(self, environment: Environment, index: Index, lock: Sequence[Locked], room: Room) -> PackageSet:
        """The set of a lock, from the store or made now."""
        packages = tuple(locked.package for locked in lock)
        content = json.dumps([environment.name, *((locked.place, locked.package.model_dump()) for locked in lock)])
        identity = hashlib.sha256(content.encode()).hexdigest()
        if found := self._store.use(identity):
            return found
        if sum(locked.size or 0 for locked in lock) > room.bytes:
            raise Refused(Code.PACKAGES_TOO_LARGE, f"The set has more than {self._settings.set_mb} MB.")
        with self._store.workplace() as place:
            site = place / LAYER / str(environment.site)
            site.mkdir(parents=True)
            fetched = Room(room.bytes, room.deadline)
            archive = place / "archive"
            for locked in lock:
                await fetch(self._client, locked, archive, fetched)
                await finished(asyncio.to_thread(index.unpack, locked, archive, site, room))
                archive.unlink()
            size = self._settings.set_mb * _MB - room.bytes
            made = PackageSet(id=identity, environment=environment.name, packages=packages, size=size)
            self._store.keep(await finished(asyncio.to_thread(complete, made, place)), place)
        return made


def busy() -> Refused:
    """The refusal when too many sets are being made."""
    return Refused(Code.PACKAGES_UNAVAILABLE, "Too many sets are being prepared.", _BUSY_SECONDS)


def with_packages(name: str) -> Environment:
    """The environment of this name; `Refused` when it takes no packages."""
    environment = ENVIRONMENTS.get(name)
    if environment is None or environment.index is None:
        can = ", ".join(it.name for it in ENVIRONMENTS.values() if it.index)
        raise Refused(Code.PACKAGE_NOT_ALLOWED, f"{name} takes no packages; these environments do: {can}.")
    return environment


async def finished(work: Coroutine[None, None, T]) -> T:
    """Wait for work in a thread to its end, even when cancelled: it uses files that are removed afterwards."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
