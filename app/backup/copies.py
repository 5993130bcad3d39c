"""Backups whose files fit together, and what is restored from them."""

import contextlib
import json
import logging
import os
import shutil
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from app.backup.restic import COMPLETE, UNFINISHED, UNREADABLE, BackupFailed, Restic, failed
from app.backup.settings import BackupSettings

_LOG = logging.getLogger("backup")
_TIMES = 8
"""Copies that are made at most until the files fit together. All but the first take what has changed, in seconds."""
_FLUSH_SECONDS = 60
_JOURNALS = ("-wal", "-shm", "-journal")
_DATABASES = "databases"
_DRILL = "drill"


class Copies:
    """The backups of one stack."""

    def __init__(self, settings: BackupSettings) -> None:
        self._settings = settings
        self._restic = Restic(settings, settings.scratch)

    def all(self) -> list[dict[str, Any]]:
        """All backups, as restic describes them, from the oldest on."""
        return self._restic.snapshots()

    def get(self, snapshot: str = "") -> dict[str, Any]:
        """The newest backup whose id begins with `snapshot`, as restic describes it.

        Raises:
            BackupFailed: there is none.
        """
        found = [it for it in self._restic.snapshots() if it["id"].startswith(snapshot)]
        if not found:
            named = f" {snapshot}" if snapshot else ""
            raise BackupFailed(f"{self._settings.repository} has no backup{named} of {self._settings.stack}.")
        return found[-1]

    def open(self) -> dict[str, Any] | None:
        """The newest backup, if there is one. The repository is made where there is none."""
        self._restic.ensure_repository()
        found = self._restic.snapshots()
        return found[-1] if found else None

    def make(self) -> dict[str, Any]:
        """Make a backup, then remove those that are not to be kept. Returns restic's summary of it.

        Raises:
            BackupFailed: a file can't be read, or the files change during each copy.
        """
        self._restic.ensure_repository()
        for name, volume in self._settings.volumes.items():
            if volume.flush:
                _flush(name, volume.flush)
        for _ in range(_TIMES):
            before = self._steady()
            with self._empty(_DATABASES) as databases:
                self._copy_databases(databases)
                done = self._restic.attempt("backup", *self._what(databases))
            if done.returncode not in (0, UNREADABLE):
                raise failed("backup", done)
            if done.returncode == 0 and (changed := before ^ self._steady()) == set():
                summary = _summary(done.stdout)
                self._restic.run("tag", "--set", COMPLETE, summary["snapshot_id"])
                self._tidy()
                return summary
        why = f"files changed during each of {_TIMES} copies, such as {min(changed)[0]}" if not done.returncode else ""
        raise BackupFailed(why or f"files can't be read: {done.stderr.strip()[-500:]}")

    def unlock(self) -> None:
        """Remove all locks, also those that restic takes for held: half an hour long, and who held them is lost."""
        self._restic.run("unlock", "--remove-all")

    def check(self, snapshot: str = "") -> list[str]:
        """See that all of the repository is as it was written. Returns the names of the volumes in a backup.

        Raises:
            BackupFailed: something is missing or damaged.
        """
        self._restic.run("check", "--read-data")
        said = self._restic.run("ls", "--json", self.get(snapshot)["id"], str(self._settings.data))
        nodes = [json.loads(line) for line in said.splitlines()]
        return [
            it["name"] for it in nodes if it.get("type") == "dir" and Path(it["path"]).parent == self._settings.data
        ]

    def restore(self, snapshot: str = "") -> str:
        """Make the volumes what they were in a backup. Returns its time.

        Raises:
            BackupFailed: a file can't be read or written.
        """
        chosen = self.get(snapshot)
        with self._empty(_DATABASES) as databases:
            volumes = [self._settings.data, databases]
            included = (part for folder in volumes for part in ("--include", str(folder)))
            self._restic.run("restore", chosen["id"], "--target", "/", "--delete", "--sparse", *included)
            _put_back(databases, self._settings.data)
        return str(chosen["time"])

    def drill(self) -> None:
        """Restore the newest backup into scratch files, and compare their bytes with it.

        Raises:
            BackupFailed: the repository is damaged, or a database in it.
        """
        newest = self.get()
        self.check()
        with self._empty(_DRILL) as folder:
            self._restic.run("restore", newest["id"], "--target", str(folder), "--sparse", "--verify")
            for database in (folder / (self._settings.scratch / _DATABASES).relative_to("/")).rglob("*"):
                if database.is_file():
                    _examine(database)

    def _what(self, databases: Path) -> list[str]:
        """The arguments of a backup: all volumes, and the copies of databases in place of the databases."""
        originals = [f"{self._settings.data}/{name}/{it}" for name, it in self._patterns("databases")]
        excluded = [f"{pattern}{end}" for pattern in originals for end in ("", *_JOURNALS)]
        return [
            *("--json", "--quiet", "--host", self._settings.stack, "--tag", UNFINISHED),
            *(f"--exclude={pattern}" for pattern in excluded),
            *(str(self._settings.data), str(databases)),
        ]

    def _tidy(self) -> None:
        keep = {"daily": self._settings.keep_daily, "weekly": self._settings.keep_weekly}
        keep |= {"monthly": self._settings.keep_monthly}
        ours = ("--host", self._settings.stack, "--group-by", "host")
        self._restic.run("forget", *ours, "--tag", UNFINISHED, "--unsafe-allow-remove-all")
        numbers = (part for name, number in keep.items() for part in (f"--keep-{name}", str(number)))
        self._restic.run("forget", *ours, "--tag", COMPLETE, *numbers, "--prune")

    def _patterns(self, kind: str) -> Iterator[tuple[str, str]]:
        for name, volume in self._settings.volumes.items():
            yield from ((name, pattern) for pattern in getattr(volume, kind))

    def _files(self, kind: str) -> Iterator[tuple[str, Path]]:
        for name, pattern in self._patterns(kind):
            yield from ((name, file) for file in (self._settings.data / name).glob(pattern) if file.is_file())

    def _steady(self) -> set[tuple[str, int, int, int]]:
        found = set()
        for _, file in self._files("steady"):
            with contextlib.suppress(FileNotFoundError):
                stat = file.stat()
                found.add((str(file), stat.st_ino, stat.st_size, stat.st_mtime_ns))
        return found

    def _copy_databases(self, folder: Path) -> None:
        for name, file in self._files("databases"):
            target = folder / name / file.relative_to(self._settings.data / name)
            target.parent.mkdir(parents=True, exist_ok=True)
            with _opened(file) as source, contextlib.closing(sqlite3.connect(target)) as copy:
                source.backup(copy)
                copy.execute("PRAGMA journal_mode=DELETE")
            _give(target, file)

    @contextlib.contextmanager
    def _empty(self, name: str) -> Iterator[Path]:
        """A scratch folder that is empty now, and gone afterwards."""
        folder = self._settings.scratch / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _flush(name: str, url: str) -> None:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=_FLUSH_SECONDS):  # noqa: S310
            pass
    except OSError as error:
        # A service that is down has written what it could.
        _LOG.warning(f"the service of {name} can't be asked to write its data: {url}: {error}")


@contextlib.contextmanager
def _opened(database: Path) -> Iterator[sqlite3.Connection]:
    """A database to be read. The volume is read-only, and its program may write meanwhile.

    In a folder that is read-only SQLite opens a database with a write-ahead log only if it has one, or if it is told
    that nobody writes: without a log, nobody has it open.
    """
    with database.open("rb") as file:
        logged = file.read(20)[18:] == b"\2\2"
    mode = "immutable=1" if logged and not Path(f"{database}-wal").exists() else "mode=ro"
    with contextlib.closing(sqlite3.connect(f"file:{database}?{mode}", uri=True, timeout=30)) as connection:
        yield connection


def _examine(database: Path) -> None:
    with _opened(database) as connection:
        (said,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if said != "ok":
        raise BackupFailed(f"the database {database} is damaged: {said}")


def _put_back(databases: Path, data: Path) -> None:
    """Move the copies of databases to where the databases were."""
    for copy in databases.rglob("*"):
        if copy.is_file():
            target = data / copy.relative_to(databases)
            for end in _JOURNALS:
                Path(f"{target}{end}").unlink(missing_ok=True)
            shutil.copyfile(copy, target)
            _give(target, copy)


def _give(file: Path, model: Path) -> None:
    """Give a file the owner, the group and the mode of another one."""
    status = model.stat()
    os.chown(file, status.st_uid, status.st_gid)
    file.chmod(status.st_mode & 0o777)


def _summary(said: str) -> dict[str, Any]:
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    return next(line for line in lines if line["message_type"] == "summary")
