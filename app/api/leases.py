"""What executions with a key take while they run: one of the key's concurrent runs, and seconds of its day.

The longest time of an execution is taken before it runs and what it did not use is given back, so that a key never
exceeds its seconds.
"""

import logging
import math
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import anyio
from limits.errors import StorageError

from app.api.clients import Client
from app.api.metrics import Metrics
from app.api.rate import Allowance, add_headers, store_away
from app.api.settings import IN_MEMORY, Key
from app.api.shared_store import SharedStore
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution, ExecutionResult

_log = logging.getLogger(__name__)

_DAY = 86_400
_RETRY_SECONDS = 1
_LEASE_SECONDS = 180
"""Longer than any execution takes, with its wait for a sandbox. What a process that died has taken runs until then."""
_PREFIX = "vps:keys:"


@dataclass(frozen=True)
class Lease:
    """A try to run one execution: `runs` of the key ran, and `used` milliseconds of its `day` were taken before."""

    key: Key
    milliseconds: int
    day: int
    runs: int
    used: int
    admitted: bool
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


class LeaseStore(Protocol):
    """Counts runs and milliseconds by key. `StorageError` when it is unavailable."""

    async def take(self, key: Key, milliseconds: int) -> Lease:
        """Take one run and so many milliseconds, unless the key has too little of one of them."""

    async def give_back(self, lease: Lease, unused: int) -> None:
        """End the run of a lease that was admitted, and give back the milliseconds that it did not use."""


class MemoryLeases:
    """In this process's memory."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._runs: Counter[str] = Counter()
        self._used: Counter[tuple[str, int]] = Counter()

    async def take(self, key: Key, milliseconds: int) -> Lease:
        """See `LeaseStore`."""
        day = int(self._clock()) // _DAY
        for name, of in [it for it in self._used if it[1] < day - 1]:
            del self._used[name, of]
        runs, used = self._runs[key.name], self._used[key.name, day]
        admitted = runs < key.concurrent_runs and used + milliseconds <= key.seconds_per_day * 1000
        if admitted:
            self._runs[key.name] += 1
            self._used[key.name, day] += milliseconds
        return Lease(key, milliseconds, day, runs, used, admitted)

    async def give_back(self, lease: Lease, unused: int) -> None:
        """See `LeaseStore`."""
        self._runs[lease.key.name] -= 1
        self._used[lease.key.name, lease.day] -= unused


_TAKE = Path(__file__).with_suffix(".lua").read_text()


class ValkeyLeases:
    """In a Valkey that the units share."""

    def __init__(self, url: str) -> None:
        self._store = SharedStore(url)
        self._take = self._store.client.register_script(_TAKE)

    async def take(self, key: Key, milliseconds: int) -> Lease:
        """See `LeaseStore`."""
        day = int(time.time()) // _DAY
        lease = uuid.uuid4().hex
        limits = (key.concurrent_runs, milliseconds, key.seconds_per_day * 1000)
        async with self._store.available():
            runs, used, admitted = await self._take(_names(key, day), (lease, _LEASE_SECONDS, *limits))
        return Lease(key, milliseconds, day, runs, used, bool(admitted), lease)

    async def give_back(self, lease: Lease, unused: int) -> None:
        """See `LeaseStore`."""
        runs, used = _names(lease.key, lease.day)
        async with self._store.available(), self._store.client.pipeline() as both:
            both.zrem(runs, lease.id)
            both.decrby(used, unused)
            await both.execute()


def _names(key: Key, day: int) -> tuple[str, str]:
    return f"{_PREFIX}{key.name}:runs", f"{_PREFIX}{key.name}:{day}"


def lease_store(url: str) -> LeaseStore:
    """The store of a URL, as of `rate_limit_store`."""
    return MemoryLeases() if url == IN_MEMORY else ValkeyLeases(url)


class Ended(Protocol):
    """An execution that is recorded: its result, once it has one."""

    result: ExecutionResult | None


@dataclass(frozen=True)
class Budgets:
    """What keys may use of environments, runs at once and seconds a day. Clients without a key have no such limits."""

    store: LeaseStore
    metrics: Metrics
    timeout_seconds: float

    @asynccontextmanager
    async def leased(self, client: Client, execution: Execution, ended: Ended) -> AsyncIterator[None]:
        """Run an execution within; `Refused` when the client's key does not allow it now."""
        if client.key is None:
            yield
            return
        lease = await self._take(client, client.key, execution)
        started = time.monotonic()
        refused = False
        try:
            yield
        except Refused:
            refused = ended.result is None
            raise
        finally:
            # An execution whose client left has no result: it ran no longer than this.
            seconds = ended.result.execution_time if ended.result else time.monotonic() - started
            used = 0 if refused else min(lease.milliseconds, math.ceil(seconds * 1000))
            self.metrics.key_seconds.labels(client.key.name).inc(used / 1000)
            with anyio.CancelScope(shield=True):
                await self._give_back(lease, lease.milliseconds - used)

    async def _take(self, client: Client, key: Key, execution: Execution) -> Lease:
        try:
            self._check_environment(key, execution.environment)
            asked = math.ceil((execution.timeout or self.timeout_seconds) * 1000)
            try:
                lease = await self.store.take(key, asked)
            except StorageError as error:
                raise store_away() from error
            left = max(0, key.seconds_per_day - math.ceil((lease.used + asked * lease.admitted) / 1000))
            day = Allowance(key.seconds_per_day, lease.admitted, left, (lease.day + 1) * _DAY - time.time())
            add_headers(client, day.headers("seconds", _DAY, "seconds"))
            if not lease.admitted:
                raise _refusal(lease, day)
        except Refused as refused:
            self.metrics.of_key(client, refused.problem.code)
            raise
        return lease

    def _check_environment(self, key: Key, environment: str) -> None:
        if key.environments is not None and environment not in key.environments:
            detail = f"The key {key.name} is for {', '.join(key.environments)}, and not for {environment}."
            raise Refused(Code.ENVIRONMENT_NOT_ALLOWED, detail)

    async def _give_back(self, lease: Lease, unused: int) -> None:
        try:
            await self.store.give_back(lease, unused)
        except StorageError as error:
            _log.error("a run of the key %s counts until its lease ends: %s", lease.key.name, error)


def _refusal(lease: Lease, day: Allowance) -> Refused:
    key = lease.key
    if lease.runs >= key.concurrent_runs:
        detail = f"The key {key.name} may have {key.concurrent_runs} executions at once, and {lease.runs} run now."
        return Refused(Code.KEY_RUNS_LIMITED, detail, _RETRY_SECONDS)
    detail = (
        f"The key {key.name} has {day.remaining} of its {key.seconds_per_day} s of run time left until midnight UTC, "
        f"and this execution may take {lease.milliseconds / 1000:g} s. Those that run now may give some back."
    )
    return Refused(Code.KEY_SECONDS_SPENT, detail, day.reset)
