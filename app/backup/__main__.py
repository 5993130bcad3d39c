"""`python -m app.backup` makes backups and drills when they are due, and serves figures of them.

`now` makes a backup, `list` prints all of them. `check` reads the whole repository, and prints the names of the volumes
in a backup, which `restore` restores: the newest, or the one whose id begins as told. `unlock` removes the locks of a
server that is lost.
"""

import contextlib
import fcntl
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from prometheus_client import CollectorRegistry, start_http_server

from app.backup.copies import Copies
from app.backup.restic import BackupFailed
from app.backup.settings import BackupSettings
from app.backup.state import State
from app.process.logs import configure_logs
from app.process.settings import SettingsError

_LOG = logging.getLogger("backup")
_PAUSE_SECONDS = 30
_RETRY_SECONDS = 3600
_DAY = 86_400


class Backups:
    """The backups of a stack, and what is known of them."""

    def __init__(self, settings: BackupSettings) -> None:
        self._settings = settings
        self._copies = Copies(settings)
        self.state = State(settings.scratch / "state.json")

    def make(self) -> str:
        """Make a backup now. Returns a sentence about it."""
        with self._alone():
            begin = time.time()
            summary = self._copies.make()
        took, size = time.time() - begin, summary["total_bytes_processed"]
        self.state.write(
            backup_last_success_time_seconds=begin, backup_last_duration_seconds=took, backup_last_bytes=size
        )
        new = summary["data_added_packed"] / 1024**2
        volumes = ", ".join(sorted(self._settings.volumes))
        return f"{volumes}: {size / 1024**2:.1f} MiB, of which {new:.1f} MiB are new, in {took:.1f} s"

    def drill(self) -> None:
        """Restore the newest backup into scratch files, and remember whether that worked."""
        passed = 0.0
        try:
            with self._alone():
                self._copies.drill()
            passed = 1.0
        finally:
            self.state.write(backup_drill_last_time_seconds=time.time(), backup_drill_passed=passed)

    def find(self) -> None:
        """Remember the newest backup in the repository, also where another server made it."""
        with self._alone():
            newest = self._copies.open()
        made = datetime.fromisoformat(newest["time"]).timestamp() if newest else 0.0
        self.state.write(backup_last_success_time_seconds=made)

    def due(self, now: datetime) -> str | None:
        """What is to be done now: `backup`, `drill` or nothing."""
        known = self.state.read()
        if known["backup_last_success_time_seconds"] < last_time(self._settings.at, now).timestamp():
            return "backup"
        drilled = known.get("backup_drill_last_time_seconds", 0.0)
        return "drill" if now.timestamp() - drilled >= self._settings.drill_days * _DAY else None

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait until no other process of ours is at work: the container's memory is for one restic."""
        with (self._settings.scratch / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def last_time(at: str, now: datetime) -> datetime:
    """The last moment with this time of day."""
    hour, minute = map(int, at.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today <= now else today - timedelta(days=1)


def serve(settings: BackupSettings) -> None:
    """Make what is due, for ever. What fails is tried again after an hour."""
    backups = Backups(settings)
    registry = CollectorRegistry()
    registry.register(backups.state)
    start_http_server(settings.port, registry=registry)
    is_known = False
    while True:
        try:
            if not is_known:
                backups.find()
                is_known = True
            due = backups.due(datetime.now(UTC))
            if due == "backup":
                _LOG.info("backed up", extra={"fields": {"backup": backups.make()}})
            elif due == "drill":
                backups.drill()
                _LOG.info("the newest backup was restored into scratch files")
            time.sleep(_PAUSE_SECONDS)
        except BackupFailed as failure:
            _LOG.error(str(failure))
            time.sleep(_RETRY_SECONDS)


def main() -> None:
    """What can't be done is refused with one clear message and exit code 1."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))  # as the container's process 1 it has no default action
    configure_logs()
    try:
        settings = BackupSettings.read(os.environ)
        match sys.argv[1:]:
            case []:
                serve(settings)
            case ["now"]:
                print(Backups(settings).make())
            case ["list"]:
                print("\n".join(f"{it['short_id']}  {it['time'][:19]}Z" for it in Copies(settings).all()))
            case ["unlock"]:
                Copies(settings).unlock()
            case ["check", *snapshot]:
                print(json.dumps(Copies(settings).check(*snapshot)))
            case ["restore", *snapshot]:
                print(Copies(settings).restore(*snapshot))
            case _:
                sys.exit("usage: python -m app.backup [now | list | unlock | check [id] | restore [id]]")
    except (BackupFailed, OSError, SettingsError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
