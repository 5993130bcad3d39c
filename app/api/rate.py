"""How many executions one client address may ask for."""

import ipaddress
import math
import time
from dataclasses import dataclass

from limits import RateLimitItemPerMinute
from limits.aio.strategies import MovingWindowRateLimiter
from limits.errors import StorageError
from limits.storage import storage_from_string

from app.problems import Code, Refused

_IPV6_SUBSCRIBER = 64
"""Bits of an IPv6 address that tell subscribers apart: each commonly holds a whole /64."""
_STORE_SECONDS = 1.0
"""How long a remote store may take to answer."""
_RETRY_SECONDS = 5


def client_key(address: str) -> str:
    """What the limit counts by: an IPv4 address, an IPv6 /64, or the text itself when it is no address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _IPV6_SUBSCRIBER), strict=False))


def rate_limit_store(url: str) -> MovingWindowRateLimiter:
    """Where requests are counted: `memory://` in this process, `valkey://host:port/db` for several replicas alike."""
    wait = {} if url == "memory://" else {"socket_timeout": _STORE_SECONDS, "socket_connect_timeout": _STORE_SECONDS}
    return MovingWindowRateLimiter(storage_from_string(f"async+{url}", wrap_exceptions=True, **wait))


@dataclass(frozen=True)
class Allowance:
    """Where one client stands after a request: `remaining` of `limit` a minute, and when more come, in seconds."""

    limit: int
    admitted: bool
    remaining: int
    reset: int

    @property
    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 writes them."""
        return {
            "RateLimit-Policy": f'"executions";q={self.limit};w=60',
            "RateLimit": f'"executions";r={self.remaining};t={self.reset}',
        }


class RateLimit:
    """At most `per_minute` in any 60 seconds for each client. Refused requests are not counted."""

    def __init__(self, per_minute: int, store: MovingWindowRateLimiter) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._store = store

    async def count(self, address: str) -> Allowance:
        """Count a request of this address; `Refused` when the store is away, so that nobody is unlimited then."""
        key = client_key(address)
        try:
            admitted = await self._store.hit(self._item, key)
            window = await self._store.get_window_stats(self._item, key)
        except StorageError as error:
            raise Refused(
                Code.RATE_STORE_UNAVAILABLE,
                "Requests can't be counted now. This is a fault of the platform: try again later.",
                _RETRY_SECONDS,
            ) from error
        reset = max(1, math.ceil(window.reset_time - time.time()))
        return Allowance(self._item.amount, admitted, window.remaining, reset)


def refusal(allowance: Allowance) -> Refused:
    """What a client is told that may not run more now."""
    return Refused(
        Code.RATE_LIMITED,
        f"At most {allowance.limit} executions a minute are allowed for one address.",
        allowance.reset,
    )
