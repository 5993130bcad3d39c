"""Clients of the api, in the process of the test."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import httpx
from starlette.applications import Starlette
from starlette.routing import Route, WebSocketRoute

from app.api.connections import HttpConnection, WebSocketConnection
from app.api.server import Api, build_api
from app.api.settings import ApiSettings
from tests.unit.app.fake_executor import FakeExecutor, serving


def built(executor: FakeExecutor, **variables: str) -> Api:
    """The api of these settings, in front of this executor."""
    given = {"PROFILE": "{}", "REQUESTS_PER_MINUTE": "1000", "EXECUTOR_SOCKET": str(executor.socket), **variables}
    return build_api(ApiSettings.read({f"API_{name}": value for name, value in given.items()}))


@asynccontextmanager
async def api(executor: FakeExecutor, peer: str = "203.0.113.7", **variables: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the public interface whose address is `peer`."""
    app = built(executor, **variables).public
    transport = httpx.ASGITransport(app, client=(peer, 1234), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
        yield client


@contextmanager
def listening(executor: FakeExecutor, **variables: str) -> Iterator[str]:
    """The public interface behind a real server: its host and port."""
    protocols = {"http": HttpConnection, "ws": WebSocketConnection}
    with serving(built(executor, **variables).public, host="127.0.0.1", port=0, **protocols) as server:
        (socket,) = (socket for found in server.servers for socket in found.sockets)
        host, port = socket.getsockname()
        yield f"{host}:{port}"


def public_routes(executor: FakeExecutor) -> set[str]:
    """The paths of the public interface."""
    app: Any = built(executor).public
    while not isinstance(app, Starlette):
        app = app._app
    return {route.path for route in app.routes if isinstance(route, Route | WebSocketRoute)}
