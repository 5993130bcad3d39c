"""Start the executor: `python -m app.executor`. It serves only when every environment has run in a real sandbox."""

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import socket
import sys
from collections.abc import Callable, Iterator

import uvicorn
import uvloop

from app.environments import ENVIRONMENTS
from app.executor import page_cache
from app.executor.cgroups import CgroupError
from app.executor.engine import EngineError
from app.executor.launcher import LISTENER, WITH_HOST_USERS, WITH_OWN_USERS
from app.executor.metrics import Metrics
from app.executor.pool import Pool
from app.executor.proof import Unheld, prove
from app.executor.server import build_executor
from app.executor.service import BrokenEnvironment, Service, survey
from app.executor.settings import ExecutorSettings
from app.executor.workshop import OciWorkshop, Pattern
from app.process import later
from app.process.logs import configure_logs
from app.process.settings import SettingsError
from app.process.start_tracing import start_tracing
from app.runtimes import DEFAULT_RUNTIME, RUNTIMES
from app.wire.admission import longest_body
from app.wire.unix_http import SERVER

_log = logging.getLogger("app.executor")

_GRACE_SECONDS = 2
"""How long answers may take once the sandboxes are removed. The whole stop must fit in 10 seconds."""


def _at_stop(do: Callable[[], object]) -> None:
    """Do this when the process is told to stop. Before the first call, signals are blocked, and stay pending."""
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, do)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


class _Server(uvicorn.Server):
    """Removes the sandboxes before it waits for answers: no execution holds up the stop."""

    def __init__(self, config: uvicorn.Config, service: Service) -> None:
        super().__init__(config)
        self._service = service

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """uvicorn's own would raise the signal again once it has stopped."""
        _at_stop(lambda: setattr(self, "should_exit", True))
        yield

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self._service.close()
        await super().shutdown(sockets)
        await later.done()


async def _serve(settings: ExecutorSettings) -> None:
    if starting := asyncio.current_task():
        _at_stop(starting.cancel)
    roots = {name: settings.roots / name for name in settings.environments}
    for name, root in roots.items():
        if not root.is_dir():
            raise BrokenEnvironment(name, f"there is no folder {root}")
    if not shutil.which(settings.runtime):
        raise EngineError(f"the image has no {settings.runtime}. Set EXECUTOR_RUNTIME to {DEFAULT_RUNTIME}")
    workshop = OciWorkshop(
        Pattern(settings.profile, roots, settings.runtime, settings.apparmor, settings.package_store)
    )
    metrics = Metrics(settings.profile)
    traces = start_tracing("executor", settings.traces, metrics.spans_dropped.inc)
    bounds = {name: settings.pools[name] for name in settings.environments}
    engine = Pool(workshop, bounds, metrics, settings.concurrency, settings.queue, tracing=traces)
    metrics.watch(engine)
    own_kernel = RUNTIMES[settings.runtime].own_kernel
    try:
        metrics.orphans.inc(workshop.prepare())
        os.set_inheritable(LISTENER, False)
        await prove(workshop, settings.profile, apparmor=settings.apparmor and not own_kernel)
    except (EngineError, OSError) as error:
        fix = (WITH_HOST_USERS if settings.host_users else WITH_OWN_USERS).fix
        raise EngineError(f"{error}. {fix}.") from error
    if not settings.apparmor:
        _log.warning(
            "no AppArmor profile holds the executor and its sandboxes: where a namespace or a filter of system calls "
            "has a hole, nothing else refuses the executor the kernel's settings and raw memory, or a sandbox mounts, "
            "capabilities and programs that are not in its image (docs/SECURITY.md)"
        )
    programs = (page_cache.program(root, ENVIRONMENTS[name].start[0]) for name, root in roots.items())
    page_cache.renew(filter(None, programs))
    engine.start()
    try:
        environments = await survey(engine, settings.environments)
        _log.info("ready", extra={"fields": {name: info.version for name, info in environments.items()}})
        service = Service(engine, settings, environments, metrics, traces)
        config = uvicorn.Config(
            build_executor(service, metrics, traces),
            fd=LISTENER,
            timeout_graceful_shutdown=_GRACE_SECONDS,
            ws="websockets-sansio",
            ws_max_size=longest_body(settings.profile),
            **SERVER,
        )
        await _Server(config, service).serve()
    finally:
        with contextlib.suppress(EngineError):
            await engine.close()


def main() -> None:
    """Serve until SIGTERM or SIGINT. What can't be served is refused with one clear message and exit code 1."""
    configure_logs()
    try:
        settings = ExecutorSettings.read(os.environ)
        with contextlib.suppress(asyncio.CancelledError):
            uvloop.run(_serve(settings))
    except (BrokenEnvironment, CgroupError, EngineError, OSError, SettingsError, Unheld) as error:
        sys.exit(f"The executor can't start: {error}")


if __name__ == "__main__":
    main()
