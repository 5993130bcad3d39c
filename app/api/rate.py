"""The rate limit: executions a minute for each client address, and for each key."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError

from app.api.clients import Client
from app.api.settings import IN_MEMORY
from app.api.shared_store import STORE_SECONDS
from app.wire.problems import Code, Refused

_WINDOW_SECONDS = 60.0
_RETRY_SECONDS = 5
ADDRESS, KEY = "executions", "key"
"""The names of the limits for one address, and for one key from all addresses."""


@dataclass(frozen=True)
class Allowance:
    """A client's state after a request: `remaining` of `limit` in a window are left, and one more is in `seconds`."""

    limit: int
    admitted: bool
    remaining: int
    seconds: float

    @property
    def reset(self) -> int:
        """Whole seconds until there is more, at least 1."""
        return max(1, math.ceil(self.seconds))

    def headers(self, policy: str = ADDRESS, window: int = round(_WINDOW_SECONDS), unit: str = "") -> dict[str, str]:
        """The headers of draft-ietf-httpapi-ratelimit-headers-10. `unit` is what is counted, unless it is requests."""
        counted = f';qu="{unit}"' if unit else ""
        return {
            "RateLimit-Policy": f'"{policy}";q={self.limit};w={window}{counted}',
            "RateLimit": f'"{policy}";r={self.remaining};t={self.reset}',
        }


class RateLimitStore(Protocol):
    """Stores the requests of the last minute."""

    async def hit(self, key: str, limit: int, cost: int) -> Allowance:
        """Store `cost` executions, unless more than `limit` would be in the last minute. `StorageError` when that is
        unknown."""


class MemoryStore:
    """In this process's memory. A request's cost does not depend on the number of clients (docs/adr/0008)."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._hits: OrderedDict[str, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """The number of clients that are stored."""
        return len(self._hits)

    async def hit(self, key: str, limit: int, cost: int) -> Allowance:
        """See `RateLimitStore`."""
        now = self._clock()
        self._forget(now - _WINDOW_SECONDS)
        hits = self._hits.setdefault(key, deque())
        while hits and hits[0] <= now - _WINDOW_SECONDS:
            hits.popleft()
        admitted = len(hits) + cost <= limit
        if admitted:
            hits.extend([now] * cost)
            self._hits.move_to_end(key)
        return Allowance(limit, admitted, limit - len(hits), hits[0] + _WINDOW_SECONDS - now)

    def _forget(self, before: float) -> None:
        """Remove clients without a request since then. They are first: each request moves its client to the end."""
        while self._hits and next(iter(self._hits.values()))[-1] <= before:
            self._hits.popitem(last=False)


class ValkeyStore:
    """In a Valkey that the replicas of the api share."""

    def __init__(self, url: str) -> None:
        storage = RedisStorage(
            f"async+{url}",
            wrap_exceptions=True,
            implementation="valkey",
            socket_timeout=STORE_SECONDS,
            socket_connect_timeout=STORE_SECONDS,
        )
        self._limiter = MovingWindowRateLimiter(storage)

    async def hit(self, key: str, limit: int, cost: int) -> Allowance:
        """See `RateLimitStore`."""
        item = RateLimitItemPerMinute(limit)
        admitted = await self._limiter.hit(item, key, cost=cost)
        window = await self._limiter.get_window_stats(item, key)
        return Allowance(limit, admitted, window.remaining, window.reset_time - time.time())


def rate_limit_store(url: str) -> RateLimitStore:
    """The store of a URL: `memory://` for one replica, `valkey://host:port/db` for several."""
    return MemoryStore() if url == IN_MEMORY else ValkeyStore(url)


class RateLimit:
    """At most so many executions in any 60 seconds, `per_minute` for each address without a key."""

    def __init__(self, per_minute: int, store: RateLimitStore) -> None:
        self._per_minute = per_minute
        self._store = store

    def limits(self, client: Client) -> dict[str, tuple[str, int]]:
        """By the names of the client's limits: what it is counted as, and the executions a minute."""
        key = client.key
        if key is None:
            return {ADDRESS: (client.name, self._per_minute)}
        of_key = {KEY: (f"key:{key.name}", key.requests_per_minute)}
        if not key.origins:
            return of_key
        return {ADDRESS: (client.name, key.address_per_minute or self._per_minute), **of_key}

    def most(self, client: Client) -> int:
        """The most executions that one request may ask for."""
        return min(limit for _, limit in self.limits(client).values())

    async def count(self, client: Client, executions: int = 1, counted: int = 0) -> None:
        """Count executions of this client, of which some are counted already, and put what is left into its headers.

        `Refused` beyond one of its limits, and when the store is unavailable, so that the limits always hold. What the
        first limit refuses is not counted.
        """
        for policy, (name, limit) in self.limits(client).items():
            try:
                found = await self._store.hit(name, limit, executions - counted)
            except StorageError as error:
                raise store_away() from error
            add_headers(client, found.headers(policy))
            if not found.admitted:
                raise refusal(client, found, policy, executions)


def add_headers(client: Client, found: Mapping[str, str]) -> None:
    """Add one limit to those that the client is told. What the headers said of the same limit before is replaced."""
    for header, item in found.items():
        others = filter(None, client.headers.get(header, "").split(", "))
        name = item.partition(";")[0]
        client.headers[header] = ", ".join([*(it for it in others if not it.startswith(f"{name};")), item])


def store_away() -> Refused:
    """The refusal while requests can't be counted."""
    detail = "Requests can't be counted now. This is a fault of the platform: try again later."
    return Refused(Code.RATE_STORE_UNAVAILABLE, detail, _RETRY_SECONDS)


def refusal(client: Client, allowance: Allowance, policy: str, executions: int) -> Refused:
    """The refusal of a client that asks for one execution, or for several of which one is counted already."""
    of_key = client.key is not None and policy == KEY
    code = Code.KEY_RATE_LIMITED if of_key else Code.RATE_LIMITED
    whose = f"the key {client.key.name}" if client.key and of_key else "one address"
    limit = f"At most {allowance.limit} executions a minute are allowed for {whose}"
    if executions == 1:
        return Refused(code, f"{limit}.", allowance.reset)
    detail = f"{limit}: {executions} are asked for and {allowance.remaining + 1} were left, so that none was run."
    return Refused(code, detail, round(_WINDOW_SECONDS))
