"""An HTTP client that takes little CPU itself. Each request has a connection of its own, as a visitor's has."""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

Connect = Callable[[], socket.socket]


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
    """Sends requests to one address, from any thread. A request raises `Lost` after `seconds` without an answer."""

    def __init__(self, connect: Connect, seconds: float = 60) -> None:
        self._connect = connect
        self._seconds = seconds

    def get(self, path: str) -> Answer:
        """GET a path."""
        return self._ask("GET", path, b"")

    def execute(self, body: dict[str, object]) -> Answer:
        """POST an execution."""
        return self.post("/execute", json.dumps(body).encode())

    def post(self, path: str, body: bytes) -> Answer:
        """The answer to a body of JSON, or `Lost`."""
        return self._ask("POST", path, body)

    def _ask(self, method: str, path: str, body: bytes) -> Answer:
        connection = HTTPConnection("localhost")
        try:
            connection.sock = self._connect()
            connection.sock.settimeout(self._seconds)
            connection.request(method, path, body, {"Content-Type": "application/json", "Connection": "close"})
            response = connection.getresponse()
            return Answer(response.status, response.read())
        except (OSError, HTTPException) as error:
            raise Lost(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()


def tcp(host: str, port: int) -> Connect:
    """A function that connects to a TCP port."""
    return lambda: socket.create_connection((host, port))


def unix(path: Path) -> Connect:
    """A function that connects to a Unix socket."""

    def connect() -> socket.socket:
        opened = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            opened.connect(str(path))
        except OSError:
            opened.close()
            raise
        return opened

    return connect
