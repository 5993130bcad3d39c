"""Start the packages service, or the copy service of a unit: `python -m app.packages`."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import uvicorn

from app.packages.copies import Copies
from app.packages.metrics import Metrics
from app.packages.server import build_packages
from app.packages.service import Preparations
from app.packages.settings import PackagesSettings
from app.packages.store import Store
from app.process.logs import configure_logs
from app.process.settings import SettingsError
from app.wire.unix_http import SERVER

_GRACE_SECONDS = 2
_EVERY_ADDRESS = "0.0.0.0"  # noqa: S104 - the cluster's policies say who connects


def main() -> None:
    """Serve until SIGTERM or SIGINT. What can't be served is refused with one clear message and exit code 1."""
    try:
        settings = PackagesSettings.read(os.environ)
        store = Store(settings.store, settings.store_mb)
        store.open()
    except (OSError, SettingsError) as error:
        sys.exit(f"The packages service can't start: {error}")
    configure_logs()
    metrics = Metrics(store)
    place: dict[str, Any] = {"host": _EVERY_ADDRESS, "port": settings.port}
    if not settings.port:
        settings.socket.unlink(missing_ok=True)
        place = {"uds": str(settings.socket)}
    sets = (
        Copies(settings, store)
        if settings.source
        else Preparations(settings, store, Path(tempfile.gettempdir()), metrics)
    )
    uvicorn.run(
        build_packages(sets, metrics, store if settings.port else None, settings.seconds),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        **place,
        **SERVER,
    )


if __name__ == "__main__":
    main()
