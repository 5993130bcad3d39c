"""Connections and HTTP requests to the VPS from another host."""

import contextlib
import itertools
import json
import secrets
import selectors
import socket
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import httpx
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.vps.network import Namespace
from tests.waiting import SLOWNESS


def open_ports(visitor: Namespace, address: str, ports: Iterable[int], seconds: float = 2) -> set[int]:
    """The TCP ports that accept a connection within `seconds` of a usual machine. All are tried at once."""
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
        deadline = time.monotonic() + seconds * SLOWNESS
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
        with self.at.entered(), httpx.Client(verify=self.trust, timeout=20 * SLOWNESS, trust_env=False) as client:
            return client.request(
                method,
                asked.copy_with(host=self.address),
                headers={**headers, "host": asked.host},
                extensions={"sni_hostname": asked.host},
                **options,
            )

    def page(self, url: str, **options: Any) -> httpx.Response:
        """The answer to GET, after redirects."""
        answer = self.ask("GET", url, **options)
        if not answer.has_redirect_location:
            return answer
        return self.page(str(httpx.URL(url).join(answer.headers["location"])), **options)

    def connection(self) -> dict[str, Any]:
        """The arguments of websockets' `connect` for a new connection, without pings: a slow VPS answers them late."""
        return {"sock": self._connected(), "ssl": self.trust, "open_timeout": 20 * SLOWNESS, "ping_interval": None}

    def certificate(self, host: str) -> bytes:
        """The certificate that is served for a host name (DER)."""
        with self._connected() as tcp, self.trust.wrap_socket(tcp, server_hostname=host) as tls:
            found = tls.getpeercert(binary_form=True)
        assert found
        return found

    def room(self, host: str, links: Mapping[str, str]) -> str:
        """The output of the program in a room, which is run by its link for editing."""
        token = links["edit"].partition("token=")[2]
        with connect(
            f"wss://{host}/rooms/{links['id']}/runs",
            **self.connection(),
            proxy=None,
            subprotocols=[Subprotocol("vps-room"), Subprotocol(f"token.{token}")],
        ) as room:
            room.send(json.dumps({"type": "run", "name": (name := secrets.token_hex(4))}))
            # The frames of a former run come first.
            frames = (json.loads(room.recv(timeout=20 * SLOWNESS)) for _ in itertools.count())
            ours = itertools.dropwhile(lambda frame: frame.get("name") != name and frame["type"] != "problem", frames)
            last: dict[str, Any] = next(frame for frame in ours if frame["type"] in ("result", "problem"))
        return str(last.get("output", last))

    def _connected(self) -> socket.socket:
        with self.at.entered():
            return socket.create_connection((self.address, 443), timeout=20 * SLOWNESS)
