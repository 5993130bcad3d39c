"""Who asks for executions: what requests are counted by."""

import ipaddress
from collections.abc import MutableMapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection

from app.api.settings import Key

_IPV6_SUBSCRIBER = 64
"""Prefix length by which IPv6 clients are counted: a subscriber commonly has a whole /64."""


@dataclass(frozen=True)
class Client:
    """An address as it is counted, with the key that its request gave. `headers` are added to the answer."""

    address: str
    key: Key | None = None
    headers: MutableMapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What tells it from other clients: the address, the key of a site's servers, or both for a public key."""
        if self.key is None:
            return self.address
        return f"key:{self.key.name}:{self.address}" if self.key.origins else f"key:{self.key.name}"


CLIENT: ContextVar[Client] = ContextVar("client")
"""The client of the request that this task serves."""


def address_of(connection: HTTPConnection) -> str:
    """The address of a request's client. A connection that has none, as over a Unix socket, is `unknown`."""
    return connection.client.host if connection.client else "unknown"


def counted_address(address: str) -> str:
    """What an address is counted as: an IPv4 address, an IPv6 /64, or the text itself if it is no address."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((found, _IPV6_SUBSCRIBER), strict=False))
