"""Start the api: `python -m app.api`."""

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Iterator

import uvicorn
import uvloop
from starlette.types import ASGIApp

from app.api.connections import HttpConnection, WebSocketConnection
from app.api.server import build_api
from app.api.settings import ApiSettings
from app.process import later
from app.process.logs import configure_logs
from app.process.settings import SettingsError
from app.wire.admission import longest_body

_KEEP_ALIVE_SECONDS = 100
"""Longer than the edge keeps an idle connection, which is 90 s by Traefik's default. Were it shorter, a request could
meet a connection that is being closed, and would be answered 502."""
_UNREAD_SECONDS = 30
"""Seconds without a byte acknowledged by the client, after which the kernel closes its connection."""


class _PublicServer(uvicorn.Server):
    """Loses no request when it stops, provided that the edge sends its requests elsewhere within `linger_seconds`.

    From the signal on, each answer tells the edge that its connection is closed. The connections that the edge keeps
    unused are closed after that time. Were they closed at once, a request that is on its way on one of them would be
    lost: the edge can't know whether it was begun, and must not repeat it.
    """

    def __init__(self, config: uvicorn.Config, linger_seconds: int) -> None:
        super().__init__(config)
        self._linger_seconds = linger_seconds

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        close = (b"connection", b"close")
        # uvicorn renews the first of them no more. A request that runs has those from its beginning.
        state = self.server_state
        state.default_headers = [*state.default_headers, close]
        for it in state.connections:
            if isinstance(it, HttpConnection) and it.cycle:
                it.cycle.default_headers = [*it.cycle.default_headers, close]
        await asyncio.sleep(self._linger_seconds)
        await super().shutdown(sockets)
        await later.done()


class _SideServer(uvicorn.Server):
    """The server of the metrics. It handles no signals: the public server does."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers."""
        yield


def _config(app: ASGIApp, settings: ApiSettings, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        http=HttpConnection,
        ws=WebSocketConnection,
        ws_max_size=longest_body(settings.profile),
        # The application reads X-Forwarded-For itself, from API_TRUSTED_PROXIES alone.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=settings.grace_seconds,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
    )


def _bound(config: uvicorn.Config) -> list[socket.socket]:
    """The listening socket. The kernel closes connections whose client stops reading.

    Otherwise the answer to a client that never reads would stay in this process's memory.
    """
    found = config.bind_socket()
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNREAD_SECONDS * 1000)
    return [found]


async def _serve(settings: ApiSettings) -> None:
    api = build_api(settings)
    public = _config(api.public, settings, settings.port)
    private = _config(api.metrics, settings, settings.metrics_port)
    side = _SideServer(private)
    async with asyncio.TaskGroup() as group:
        group.create_task(side.serve(_bound(private)))
        await _PublicServer(public, settings.linger_seconds).serve(_bound(public))
        side.should_exit = True


def main() -> None:
    """Serve until SIGINT or SIGTERM. Invalid settings end the process with a message and exit code 1."""
    try:
        settings = ApiSettings.read(os.environ)
    except SettingsError as error:
        sys.exit(f"The api can't start: {error}")
    configure_logs()
    uvloop.run(_serve(settings))


if __name__ == "__main__":
    main()
