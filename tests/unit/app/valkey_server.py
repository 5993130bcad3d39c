"""A real server that speaks Valkey's protocol: Redis 7, from which Valkey was forked, is what Debian 12 has."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import valkey

from tests.waiting import until
from tools.machine.ports import free_port

_PROGRAM = "redis-check-rdb"
"""The server's own file: by its other name it is in a package that starts no service."""


@contextmanager
def serving(port: int | None = None) -> Iterator[str]:
    """An empty server on this port of 127.0.0.1, or on a free one. Yields its URL."""
    port = port or free_port()
    argv = ["redis-server", "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", "/"]
    with subprocess.Popen(argv, executable=_PROGRAM, stdout=subprocess.DEVNULL) as server:
        try:
            until(lambda: _answers(port), 10, "the store")
            yield f"valkey://127.0.0.1:{port}/0"
        finally:
            server.kill()


def _answers(port: int) -> bool:
    with valkey.Valkey(port=port) as client:
        try:
            return bool(client.ping())
        except valkey.exceptions.ConnectionError:
            return False
