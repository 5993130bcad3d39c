"""Start the executor: `python -m app.executor`. It serves only when every environment has run in a real sandbox."""

import contextlib
import logging
import os
import signal
import socket
import sys
from functools import partial

import uvicorn
import uvloop

from app.executor.containers import Containers
from app.executor.docker_api import DockerApi
from app.executor.docker_workshop import DockerWorkshop, Pattern, UnfitRuntime
from app.executor.engine import EngineError
from app.executor.lifeline import end_when_cut_off
from app.executor.metrics import Metrics
from app.executor.pool import Pool
from app.executor.server import build_executor
from app.executor.service import BrokenEnvironment, Service, survey
from app.executor.settings import ExecutorSettings, executor_settings
from app.process.logs import configure_logs
from app.process.settings import SettingsError
from app.process.start_tracing import start_tracing
from app.wire.admission import longest_body

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


async def _serve(settings: ExecutorSettings) -> None:
    api = DockerApi(settings.engine)
    workshop = DockerWorkshop(api, Pattern(settings.profile, settings.environments, settings.stack, settings.runtime))
    metrics = Metrics(settings.profile)
    traces = start_tracing("executor", settings.traces, metrics.span_dropped)
    bounds = {name: settings.pools[name] for name in settings.environments}
    engine = Pool(workshop, bounds, metrics, settings.concurrency, settings.queue, tracing=traces)
    containers = Containers(api, settings.stack, metrics, settings.containers_seconds)
    metrics.watch(engine)
    metrics.tell(containers)
    await workshop.check()
    if swept := await engine.sweep():
        metrics.swept(swept)
        _log.warning("%d sandboxes of an earlier run were removed", swept)
    engine.start()
    try:
        environments = await survey(engine, settings.environments)
        _log.info("ready", extra={"fields": {name: info.version for name, info in environments.items()}})
        service = Service(engine, settings, environments, metrics, traces)
        config = uvicorn.Config(
            build_executor(
                service,
                metrics,
                traces,
                (
                    service.sweep_forever,
                    containers.read_forever,
                    lambda: end_when_cut_off(api.ping, partial(os.kill, os.getpid(), signal.SIGTERM)),
                ),
            ),
            uds=str(settings.socket),
            proxy_headers=False,
            server_header=False,
            access_log=False,
            log_config=None,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ws="websockets-sansio",
            ws_max_size=longest_body(settings.profile),
        )
        await _Server(config, service).serve()
    finally:
        with contextlib.suppress(EngineError):
            await engine.close()


def main() -> None:
    """Serve until a signal. What can't be served is refused with one clear message and exit code 1."""
    try:
        settings = executor_settings(os.environ)
    except SettingsError as error:
        sys.exit(f"The executor can't start; its settings are at fault:\n{error}")
    configure_logs()
    try:
        uvloop.run(_serve(settings))
    except EngineError as error:
        sys.exit(f"The executor can't start: {error}. Is the engine of EXECUTOR_ENGINE ({settings.engine}) running?")
    except (BrokenEnvironment, UnfitRuntime) as error:
        sys.exit(f"The executor can't start: {error}")


if __name__ == "__main__":
    main()
