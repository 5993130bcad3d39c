"""Start the executor: `python -m app.executor`. It serves only when every environment has run in a real sandbox."""

import asyncio
import logging
import os
import socket
import sys

import uvicorn

from app.configuration import SettingsError
from app.executor.docker_engine import DockerEngine, DockerSandboxes
from app.executor.engine import EngineError
from app.executor.server import build_executor
from app.executor.service import BrokenEnvironment, Service, measure_versions
from app.executor.settings import ExecutorSettings, executor_settings
from app.logs import configure_logs

_log = logging.getLogger("app.executor")

_GRACE_SECONDS = 2
"""How long answers may take once the sandboxes are removed. The whole stop must fit in 10 seconds."""


class _Server(uvicorn.Server):
    """Removes the sandboxes before it waits for answers: no execution holds up the stop."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._service.close()
        await super().shutdown(sockets)


async def _start(settings: ExecutorSettings) -> Service:
    sandboxes = DockerSandboxes(settings.profile, settings.environments, settings.stack, settings.runtime)
    engine = await DockerEngine.connect(settings.engine, sandboxes)
    if swept := await engine.sweep():
        _log.warning("%d sandboxes of an earlier run were removed", swept)
    versions = await measure_versions(engine, settings.environments)
    _log.info("ready", extra={"fields": {"environments": dict(versions)}})
    return Service(engine, settings, versions)


async def _serve(settings: ExecutorSettings) -> None:
    service = await _start(settings)
    config = uvicorn.Config(
        build_executor(service),
        uds=str(settings.socket),
        proxy_headers=False,
        server_header=False,
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=_GRACE_SECONDS,
    )
    await _Server(config, service).serve()


def main() -> None:
    """Serve until a signal. What can't be served is refused with one clear message and exit code 1."""
    try:
        settings = executor_settings(os.environ)
    except SettingsError as error:
        sys.exit(f"The executor can't start; its settings are at fault:\n{error}")
    configure_logs()
    try:
        asyncio.run(_serve(settings))
    except EngineError as error:
        sys.exit(f"The executor can't start: {error}. Is the engine of EXECUTOR_ENGINE ({settings.engine}) running?")
    except BrokenEnvironment as error:
        sys.exit(f"The executor can't start: {error}")


if __name__ == "__main__":
    main()
