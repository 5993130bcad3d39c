"""How many executions one client address may ask for."""

import ipaddress
import math
import time

from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from app.problems import Code, Refused

_IPV6_SUBSCRIBER = 64
"""Bits of an IPv6 address that tell subscribers apart: each commonly holds a whole /64."""


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


class RateLimit:
    """At most `per_minute` in any 60 seconds for each client. Refused requests are not counted."""

    def __init__(self, per_minute: int) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def admit(self, address: str) -> None:
        """Count a request of this address, or `Refused` with the seconds until the next one is admitted."""
        key = client_key(address)
        if await self._limiter.hit(self._item, key):
            return
        window = await self._limiter.get_window_stats(self._item, key)
        raise Refused(
            Code.RATE_LIMITED,
            f"At most {self._item.amount} executions a minute are allowed for one address.",
            max(1, math.ceil(window.reset_time - time.time())),
        )
