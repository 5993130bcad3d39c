"""An HTTP client that takes little CPU itself. Each request has a connection of its own, as a visitor's has."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from types import MappingProxyType
from typing import Any


class Lost(Exception):
    """A request got no answer."""


@dataclass(frozen=True)
class Answer:
    """An HTTP answer. `content` is its JSON."""

    status: int
    body: bytes

    @cached_property
    def content(self) -> dict[str, Any]:
        return json.loads(self.body)  # type: ignore[no-any-return]


class Client:
    """Sends requests to one address (a Unix socket's path, or a host and its TCP port), from any thread.

    A request raises `Lost` after `seconds` without an answer.
    """

    def __init__(self, address: Path | tuple[str, int], seconds: float = 60) -> None:
        self._family = socket.AF_UNIX if isinstance(address, Path) else socket.AF_INET
        self._address = str(address) if isinstance(address, Path) else address
        self._seconds = seconds

    def get(self, path: str) -> Answer:
        """GET a path."""
        return self._ask("GET", path, b"", {})

    def execute(self, body: dict[str, object]) -> Answer:
        """POST an execution."""
        return self.post("/execute", json.dumps(body).encode())

    def post(self, path: str, body: bytes, headers: Mapping[str, str] = MappingProxyType({})) -> Answer:
        """The answer to a body of JSON, or `Lost`."""
        return self._ask("POST", path, body, headers)

    def _ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        connection = HTTPConnection("localhost")
        connection.sock = socket.socket(self._family)
        connection.sock.settimeout(self._seconds)
        try:
            connection.sock.connect(self._address)
            connection.request(
                method, path, body, {"Content-Type": "application/json", "Connection": "close", **headers}
            )
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, HTTPException) as error:
            raise Lost(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
