"""The rate limit: executions a minute for each client address."""

import ipaddress
import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from limits import RateLimitItemPerMinute
from limits.aio.storage import RedisStorage
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from starlette.requests import HTTPConnection

from app.api.settings import IN_MEMORY
from app.wire.problems import Code, Refused

_IPV6_SUBSCRIBER = 64
"""Prefix length by which IPv6 clients are counted: a subscriber commonly has a whole /64."""
_WINDOW_SECONDS = 60.0
STORE_SECONDS = 1.0
"""Seconds for a remote store to answer."""
_RETRY_SECONDS = 5


def address_of(connection: HTTPConnection) -> str:
    """The address of a request's client. A connection that has none, as over a Unix socket, is `unknown`."""
    return connection.client.host if connection.client else "unknown"


def client_key(address: str) -> str:
    """The key that requests are counted by: an IPv4 address, an IPv6 /64, or the text itself if it is no address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _IPV6_SUBSCRIBER), strict=False))


@dataclass(frozen=True)
class Allowance:
    """A client's state after a request: `remaining` of `limit` a minute are left, and one more is in `seconds`."""

    limit: int
    admitted: bool
    remaining: int
    seconds: float

    @property
    def reset(self) -> int:
        """Whole seconds until there is more, at least 1."""
        return max(1, math.ceil(self.seconds))

    @property
    def headers(self) -> dict[str, str]:
        """The headers of draft-ietf-httpapi-ratelimit-headers-10."""
        return {
            "RateLimit-Policy": f'"executions";q={self.limit};w={_WINDOW_SECONDS:.0f}',
            "RateLimit": f'"executions";r={self.remaining};t={self.reset}',
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
    """At most `per_minute` in any 60 seconds for each client. What is refused is not counted."""

    def __init__(self, per_minute: int, store: RateLimitStore) -> None:
        self._limit = per_minute
        self._store = store

    async def count(self, address: str, executions: int = 1) -> Allowance:
        """Count executions of this address; `Refused` when the store is unavailable, so that the limit always holds."""
        try:
            return await self._store.hit(client_key(address), self._limit, executions)
        except StorageError as error:
            raise Refused(
                Code.RATE_STORE_UNAVAILABLE,
                "Requests can't be counted now. This is a fault of the platform: try again later.",
                _RETRY_SECONDS,
            ) from error


def refusal(allowance: Allowance, executions: int) -> Refused:
    """The refusal of a client that asks for one execution, or for several of which one is counted already."""
    limit = f"At most {allowance.limit} executions a minute are allowed for one address"
    if executions == 1:
        return Refused(Code.RATE_LIMITED, f"{limit}.", allowance.reset)
    detail = f"{limit}: {executions} are asked for and {allowance.remaining + 1} were left, so that none was run."
    return Refused(Code.RATE_LIMITED, detail, round(_WINDOW_SECONDS))
