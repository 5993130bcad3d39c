"""Copies of a volume in a repository on the same host: which one is a backup, and which ones are kept."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import docker
import pytest
from docker.models.containers import Container

from app.backup.settings import BackupSettings, Copying
from infra.service import STACK_LABEL
from infra.services.backup import CAPABILITIES
from tests.waiting import until
from tools.machine.preparation import Preparation
from tools.stack import backup, docker_objects

PASSWORD = "of the repository"
WRITES = """
import itertools, sqlite3
connection = sqlite3.connect("/data/rooms/rooms.db", isolation_level=None)
connection.execute("pragma journal_mode=wal")
connection.execute("create table lines (number integer, text text)")
for number in itertools.count():
    connection.execute("begin")
    for text in ("one", "two"):
        connection.execute("insert into lines values (?, ?)", (number, text * 500))
    connection.execute("commit")
    print(number, flush=True)
"""
READS = """
import sqlite3
connection = sqlite3.connect("/data/rooms/rooms.db")
print(connection.execute("pragma integrity_check").fetchone()[0])
print(connection.execute("select count(*) % 2, count(*) > 1 from lines").fetchone())
"""
FORMER_DAYS = """
import os, secrets, sys
from app.backup.restic import COMPLETE, Restic
from app.backup.settings import BackupSettings
settings = BackupSettings.read(os.environ)
restic = Restic(settings, settings.scratch)
restic.ensure_repository()
for day in sys.argv[1:]:
    (settings.data / "rooms" / "day").write_text(day)
    (settings.data / "rooms" / "new").write_bytes(secrets.token_bytes(4 << 20))
    backup = "backup", "--host", settings.stack, "--tag", COMPLETE, "--time", day.replace("T", " ").rstrip("Z")
    restic.run(*backup, str(settings.data))
"""
RESTORES_EACH = """
import os
from app.backup.copies import Copies
from app.backup.settings import BackupSettings
settings = BackupSettings.read(os.environ)
copies = Copies(settings)
for backup in copies.all():
    copies.restore(backup["id"])
    print((settings.data / "rooms" / "day").read_text())
"""
FILES = """
import pathlib, sys
sizes = [it.stat().st_size for it in pathlib.Path("/repository", sys.argv[1]).rglob("*") if it.is_file()]
print(len(sizes), sum(sizes) >> 20)
"""
CHANGES_A_FILE = """
import itertools, pathlib, sys, time
until_a_copy = sys.argv[1:] == ["until a copy"]
for number in itertools.count():
    pathlib.Path("/data/rooms/names").write_text(str(number))
    time.sleep(0.005)
    if until_a_copy and any(pathlib.Path("/repository/snapshots").glob("*")):
        break
print(number)
"""
REMOVES = "import os; [os.remove(it.path) for it in os.scandir('/data/rooms')]"
ROOMS = BackupSettings(
    stack="test", repository="/repository", volumes={"rooms": Copying(databases=("*.db",), steady=("names",))}
)


@dataclass(frozen=True)
class Rooms:
    """Containers with a volume that holds a SQLite database, as the backup service has one, or to write to it."""

    client: docker.DockerClient
    image: str
    settings: BackupSettings = ROOMS
    prefix: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")

    def start(self, *command: str, mode: str = "rw", password: str = PASSWORD) -> Container:
        made = self.client.containers.create(
            self.image,
            list(command),
            entrypoint="python",
            user="0:0",
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=list(CAPABILITIES),
            environment=self.settings.variables(),
            labels={STACK_LABEL: self.prefix},
            volumes={
                self.volume("rooms"): {"bind": "/data/rooms", "mode": mode},
                **{self.volume(name): {"bind": f"/{name}", "mode": "rw"} for name in ("scratch", "repository")},
            },
        )
        made.put_archive("/run", backup.archive("secrets", {"backup_password": password}))
        made.start()
        return made

    def run(self, *command: str, mode: str = "rw", password: str = PASSWORD, code: int = 0) -> str:
        """What a command prints that ends with this exit code."""
        ended = self.start(*command, mode=mode, password=password)
        assert ended.wait()["StatusCode"] == code, ended.logs()
        return ended.logs().decode()

    def backup(self, *command: str, mode: str = "ro", password: str = PASSWORD, code: int = 0) -> str:
        """What the backup service's program prints."""
        return self.run("-m", "app.backup", *command, mode=mode, password=password, code=code)

    def files(self, folder: str) -> tuple[int, int]:
        """How many files a folder of the repository has, and how many MiB they take."""
        count, size = map(int, self.run("-c", FILES, folder).split())
        return count, size

    def volume(self, name: str) -> str:
        self.client.volumes.create(f"{self.prefix}-{name}", labels={STACK_LABEL: self.prefix})
        return f"{self.prefix}-{name}"


@pytest.fixture
def rooms(prepared: Preparation) -> Iterator[Rooms]:
    made = Rooms(prepared.engine.client(), prepared.images.references["backup"])
    yield made
    docker_objects.remove_volumes(made.client, docker_objects.remove_all(made.client, made.prefix))


def test_a_database_is_copied_whole_while_it_is_written(rooms: Rooms) -> None:
    writer = rooms.start("-c", WRITES)
    until(lambda: writer.logs().count(b"\n") > 50, 30, "the first writes")
    rooms.backup("now")
    writer.reload()
    assert writer.status == "running"
    writer.remove(force=True)
    rooms.run("-c", REMOVES)
    rooms.backup("restore", mode="rw")
    assert rooms.run("-c", READS).splitlines() == ["ok", "(0, 1)"]


def test_a_copy_is_made_again_when_a_file_changed_meanwhile(rooms: Rooms) -> None:
    writer = rooms.start("-c", CHANGES_A_FILE, "until a copy")
    rooms.backup("now")
    writer.wait()
    assert len(rooms.backup("list").splitlines()) == 1
    assert rooms.files("snapshots")[0] == 1
    rooms.run("-c", REMOVES)
    rooms.backup("restore", mode="rw")
    assert rooms.run("-c", "print(open('/data/rooms/names').read())") == writer.logs().decode()


def test_copies_of_files_that_always_change_are_no_backup(rooms: Rooms) -> None:
    writer = rooms.start("-c", CHANGES_A_FILE)
    said = rooms.backup("now", code=1)
    writer.remove(force=True)
    made, _ = rooms.files("snapshots")
    assert made > 1
    assert f"files changed during each of {made} copies, such as /data/rooms/names" in said
    assert rooms.backup("list").split() == []
    assert "has no backup of test" in rooms.backup("restore", mode="rw", code=1)


def test_backups_of_former_days_are_kept_as_the_settings_say(rooms: Rooms) -> None:
    kept = {
        "2025-01-10T04:00:00Z": "the last one of the fourth month",
        "2025-02-27T04:00:00Z": "the last one of the third month",
        "2025-03-05T04:00:00Z": "the last one of the third week",
        "2025-03-11T04:00:00Z": "the last one of the third day",
        "2025-03-12T04:00:00Z": "the last one of the second day, week and month",
    }
    removed = {
        "2024-12-05T04:00:00Z": "of a fifth month",
        "2025-02-14T04:00:00Z": "not the last one of its month",
        "2025-03-04T04:00:00Z": "not the last one of its week",
        "2025-03-10T04:00:00Z": "of a fourth day",
        "2025-03-11T03:00:00Z": "not the last one of its day",
    }
    keep = {"keep_daily": 3, "keep_weekly": 3, "keep_monthly": 4}
    rooms, other = (
        replace(rooms, settings=ROOMS.model_copy(update={**keep, "stack": stack})) for stack in ("test", "other")
    )
    of_other = "2024-01-01T04:00:00Z"
    other.run("-c", FORMER_DAYS, of_other)
    rooms.run("-c", FORMER_DAYS, *sorted(kept | removed))
    rooms.backup("now")
    *former, _ = [line.split()[1] for line in rooms.backup("list").splitlines()]
    assert former == list(kept)
    assert other.backup("list").split()[1:] == [of_other]
    # Each had 4 MiB of its own. The newest has what the one before it had.
    assert rooms.files("data")[1] == 4 * len([*kept, of_other])
    assert rooms.run("-c", RESTORES_EACH).splitlines() == [*kept, former[-1]]


def test_the_repository_gets_a_changed_password(rooms: Rooms) -> None:
    for password in ("former", "changed"):
        rooms.backup("now", password=password)
    rooms.run("-c", "import os; os.remove('/scratch/password')")
    for password, code in (("former", 1), ("changed", 0)):
        rooms.backup("list", password=password, code=code)
