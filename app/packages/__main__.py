"""Start the packages service: `python -m app.packages`."""

import os
import sys
import tempfile
from pathlib import Path

import uvicorn

from app.packages.metrics import Metrics
from app.packages.server import build_packages
from app.packages.service import Preparations
from app.packages.settings import PackagesSettings
from app.packages.store import Store
from app.process.logs import configure_logs
from app.process.settings import SettingsError
from app.wire.unix_http import SERVER

_GRACE_SECONDS = 2


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
    preparations = Preparations(settings, store, Path(tempfile.gettempdir()), metrics)
    settings.socket.unlink(missing_ok=True)
    uvicorn.run(
        build_packages(preparations, metrics),
        uds=str(settings.socket),
        timeout_graceful_shutdown=_GRACE_SECONDS,
        **SERVER,
    )


if __name__ == "__main__":
    main()
