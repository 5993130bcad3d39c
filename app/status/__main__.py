"""Write the status page again each minute: `python -m app.status`."""

import logging
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ValidationError

from app.process.logs import configure_logs
from app.process.settings import SettingsError
from app.status import notices
from app.status.measures import Measured, Prometheus, Unreachable, measure, unknown
from app.status.notices import Notice
from app.status.page import feed, page
from app.status.settings import StatusSettings

_SECONDS = 60
_logger = logging.getLogger(__name__)


class Record(BaseModel):
    """What the page shows, for programs. The next writing reads the days in it."""

    written: datetime
    routes: dict[str, Measured]
    notices: list[Notice]


def main() -> None:
    """Write until a signal. What can't be used is refused with one clear message and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as the container's process 1 it has no default action
    configure_logs()
    try:
        settings = StatusSettings.read(os.environ)
        found = notices.read(settings.notices) if settings.notices else {}
        told = [notices.parse(name, content) for name, content in found.items()]
    except (OSError, SettingsError, ValueError) as error:
        sys.exit(f"The status page can't be written: {error}")
    while True:
        write(settings, told, datetime.now(UTC))
        time.sleep(_SECONDS - time.time() % _SECONDS)


def write(settings: StatusSettings, told: list[Notice], now: datetime) -> None:
    """Write the page, its feed and its record. Each file is replaced as a whole."""
    record = settings.folder / "status.json"
    kept = _kept(record)
    measured = unknown(settings.routes, kept, now)
    if settings.prometheus:
        try:
            measured = measure(Prometheus(settings.prometheus), settings.routes, kept, now)
        except Unreachable as error:
            _logger.warning("%s", error)
    _replace(record, Record(written=now, routes=measured, notices=told).model_dump_json())
    _replace(settings.folder / "feed.xml", feed(settings.title, settings.url, told, now))
    # The last one, since its age is that of all.
    _replace(settings.folder / "index.html", page(settings.title, measured, told, now))


def _kept(record: Path) -> dict[str, Measured]:
    try:
        return Record.model_validate_json(record.read_bytes()).routes
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        _logger.error("The days before today are lost: %s", error)
        return {}


def _replace(file: Path, content: str) -> None:
    following = file.with_name(f".{file.name}.next")
    following.write_text(content)
    following.replace(file)


if __name__ == "__main__":
    main()
