"""An HTTP client that takes little CPU itself. Each request has a connection of its own, as a visitor's has."""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import httptools

_RECEIVED = 65536
"""Bytes that are received at once, at most."""


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
        fixed = {"Host": "localhost", "Connection": "close", "Content-Type": "application/json"}
        head = {**fixed, "Content-Length": str(len(body)), **headers}
        lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
        answer = _Parsed()
        try:
            with socket.socket(self._family) as connection:
                connection.settimeout(self._seconds)
                connection.connect(self._address)
                connection.sendall("\r\n".join(lines).encode() + body)
                while not answer.complete:
                    answer.read(connection)
        except (OSError, httptools.HttpParserError) as error:
            raise Lost(f"{method} {path}: {error!r}") from error
        return Answer(answer.status, bytes(answer.body))


class _Parsed:
    """An answer that is being received. httptools calls the methods whose names begin with `on_`."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.complete = False
        self._parser = httptools.HttpResponseParser(self)

    @property
    def status(self) -> int:
        return self._parser.get_status_code()

    def read(self, connection: socket.socket) -> None:
        """Receive a part of it, or OSError."""
        data = connection.recv(_RECEIVED)
        if not data:
            raise ConnectionAbortedError("the connection was closed before the end of the answer")
        self._parser.feed_data(data)

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.complete = True
