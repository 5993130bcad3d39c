"""Start the api: `python -m app.api`."""

import asyncio
import contextlib
import os
import sys
from collections.abc import Iterator

import uvicorn
import uvloop
from starlette.types import ASGIApp

from app.admission import longest_body
from app.api.server import build_api
from app.api.settings import ApiSettings, api_settings
from app.configuration import SettingsError
from app.logs import configure_logs

_GRACE_SECONDS = 5


class _SideServer(uvicorn.Server):
    """A server that leaves signals to the main one."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing is captured."""
        yield


def _config(app: ASGIApp, settings: ApiSettings, port: int) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        http="httptools",
        ws="websockets-sansio",
        ws_max_size=longest_body(settings.profile),
        # The application reads X-Forwarded-For itself, from API_TRUSTED_PROXIES alone.
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )


async def _serve(settings: ApiSettings) -> None:
    api = build_api(settings)
    side = _SideServer(_config(api.metrics, settings, settings.metrics_port))
    async with asyncio.TaskGroup() as group:
        group.create_task(side.serve())
        await uvicorn.Server(_config(api.public, settings, settings.port)).serve()
        side.should_exit = True


def main() -> None:
    """Serve until a signal. Settings that can't be used are refused with one clear message and exit code 1."""
    try:
        settings = api_settings(os.environ)
    except SettingsError as error:
        sys.exit(f"The api can't start; its settings are at fault:\n{error}")
    configure_logs()
    uvloop.run(_serve(settings))


if __name__ == "__main__":
    main()
