"""Start the exporter of the containers' figures: `python -m app.containers`."""

import os
import signal
import sys
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, start_http_server

from app.containers import docker_files, pods
from app.containers.cgroups import Cgroups, WrongVersion
from app.containers.figures import Figures, MemoryKills
from app.containers.inotify import Replacements
from app.containers.settings import ContainersSettings
from app.process.logs import configure_logs
from app.process.settings import SettingsError


def main() -> None:
    """Serve until a signal. What can't be served is refused with one clear message and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as the container's process 1 it has no default action
    configure_logs()
    try:
        settings = ContainersSettings.read(os.environ)
        cgroups = Cgroups(settings.cgroups, settings.cgroup_version)
        figures, watch = (_on_cluster if settings.namespaces else _on_docker)(settings, cgroups)
    except (OSError, SettingsError, WrongVersion) as error:
        sys.exit(f"The exporter can't start: {error}")
    registry = CollectorRegistry()
    registry.register(figures)
    start_http_server(settings.port, registry=registry)
    watch()


def _on_cluster(settings: ContainersSettings, cgroups: Cgroups) -> tuple[Figures, Callable[[], None]]:
    return Figures(partial(pods.read_all, settings.files, settings.namespaces), cgroups, None), signal.pause


def _on_docker(settings: ContainersSettings, cgroups: Cgroups) -> tuple[Figures, Callable[[], None]]:
    """The figures, and what notices kills for memory, for ever."""
    kills, replacements = MemoryKills(settings.stack), Replacements(settings.files)

    def watch() -> None:
        for folder, name in replacements:
            kills.changed(folder, name)

    return Figures(partial(docker_files.read_all, settings.files, settings.stack), cgroups, kills), watch


if __name__ == "__main__":
    main()
