"""Start the exporter of the containers' figures: `python -m app.containers`."""

import os
import signal
import sys

from prometheus_client import CollectorRegistry, start_http_server

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
        replacements = Replacements(settings.files)
    except (OSError, SettingsError, WrongVersion) as error:
        sys.exit(f"The exporter can't start: {error}")
    kills = MemoryKills(settings.stack)
    registry = CollectorRegistry()
    registry.register(Figures(settings.files, settings.stack, cgroups, kills))
    start_http_server(settings.port, registry=registry)
    for folder, name in replacements:
        kills.changed(folder, name)


if __name__ == "__main__":
    main()
