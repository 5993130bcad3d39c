"""Connections and HTTP requests to the VPS from another host."""

import contextlib
import itertools
import selectors
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx

from tests.vps.network import Namespace


def open_ports(visitor: Namespace, address: str, ports: Iterable[int], seconds: float = 2) -> set[int]:
    """The TCP ports that accept a connection within `seconds`. All are tried at once."""
    return all_open_ports(visitor, [address], ports, seconds)[address]


def all_open_ports(
    visitor: Namespace, addresses: Sequence[str], ports: Iterable[int], seconds: float
) -> dict[str, set[int]]:
    """As `open_ports`, for several IPv4 and IPv6 addresses, all at once."""
    found: dict[str, set[int]] = {address: set() for address in addresses}
    with visitor.entered(), contextlib.ExitStack() as opened, selectors.DefaultSelector() as waiting:
        for address, port in itertools.product(addresses, ports):
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            attempt = opened.enter_context(socket.socket(family, socket.SOCK_STREAM))
            attempt.setblocking(False)
            attempt.connect_ex((address, port))
            waiting.register(attempt, selectors.EVENT_WRITE, (attempt, address, port))
        deadline = time.monotonic() + seconds
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                attempt, address, port = key.data
                waiting.unregister(attempt)
                if attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    found[address].add(port)
    return found


@dataclass(frozen=True)
class Visitor:
    """A client in a namespace. It connects to `address`, whatever host its URLs name, and verifies TLS with `trust`."""

    at: Namespace
    address: str
    trust: ssl.SSLContext

    def ask(
        self, method: str, url: str, headers: Mapping[str, str] = MappingProxyType({}), **options: Any
    ) -> httpx.Response:
        asked = httpx.URL(url)
        with self.at.entered(), httpx.Client(verify=self.trust, timeout=20, trust_env=False) as client:
            return client.request(
                method,
                asked.copy_with(host=self.address),
                headers={**headers, "host": asked.host},
                extensions={"sni_hostname": asked.host},
                **options,
            )
