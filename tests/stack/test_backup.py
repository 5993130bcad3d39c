"""Backups of running services to a real S3 repository, and what comes back from them.

The services are as the program declares them. The tests build on each other, in order.
"""

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial

import docker
import httpx
import pytest
import valkey
from docker.models.containers import Container

from app.backup.settings import BackupSettings, Copying
from infra.config import parse_settings
from infra.service import STACK_LABEL
from infra.services.backup import CAPABILITIES
from infra.settings import STACKS_STORE, PlatformSettings
from tests.declared import DeclaredServices
from tests.program import SECRETS, platform_config
from tests.stack.s3 import S3, serving
from tests.stack.test_traces import send
from tests.waiting import until
from tools.console.steps import Report, StepFailed
from tools.machine import docker_bridge
from tools.machine.preparation import Preparation
from tools.stack import backup, docker_objects, health

KEYS = {
    "backup_password": SECRETS["backupPassword"],
    "backup_s3_id": SECRETS["backupS3Id"],
    "backup_s3_key": SECRETS["backupS3Key"],
}
PORTS = {"prometheus": 9090, "alertmanager": 9093, "loki": 3100, "jaeger": 16686}
SERVICES = ("valkey", *PORTS)
TRACE = secrets.token_hex(16)
LINE = f"a line of {secrets.token_hex(4)}"
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


@dataclass(frozen=True)
class Rooms:
    """Containers with a volume that holds a SQLite database, as the backup service has one, or to write to it."""

    client: docker.DockerClient
    image: str
    prefix: str = field(default_factory=lambda: f"test-{secrets.token_hex(4)}")

    def start(self, *command: str, mode: str = "rw", password: str = KEYS["backup_password"]) -> Container:
        volumes = {"rooms": Copying(databases=("*.db",))}
        own = BackupSettings(stack="test", repository="/repository", volumes=volumes)
        made = self.client.containers.create(
            self.image,
            list(command),
            entrypoint="python",
            user="0:0",
            network_mode="none",
            cap_drop=["ALL"],
            cap_add=list(CAPABILITIES),
            environment=own.variables(),
            labels={STACK_LABEL: self.prefix},
            volumes={
                self.volume("rooms"): {"bind": "/data/rooms", "mode": mode},
                **{self.volume(name): {"bind": f"/{name}", "mode": "rw"} for name in ("scratch", "repository")},
            },
        )
        made.put_archive("/run", backup.archive("secrets", {**KEYS, "backup_password": password}))
        made.start()
        return made

    def volume(self, name: str) -> str:
        self.client.volumes.create(f"{self.prefix}-{name}", labels={STACK_LABEL: self.prefix})
        return f"{self.prefix}-{name}"


@pytest.fixture(scope="module")
def s3(prepared: Preparation, report: Report) -> Iterator[S3]:
    with serving(docker_bridge.address(prepared.engine.client()), report) as made:
        yield made


@pytest.fixture(scope="module")
def services(prepared: Preparation, s3: S3) -> Iterator[DeclaredServices]:
    sandbox = {"rate_store": STACKS_STORE, "keep_counts": True}
    prometheus = {"scrape_seconds": 1}
    found = DeclaredServices(prepared, sandbox=sandbox, services={"prometheus": prometheus}, backup=backup_to(s3))
    try:
        for service in SERVICES:
            found.start(service)
        yield found
    finally:
        found.remove()


@pytest.fixture(scope="module")
def restoration(prepared: Preparation, services: DeclaredServices, s3: S3) -> backup.Restoration:
    platform = {**platform_config("local", backup=backup_to(s3)), "name": services.prefix}
    settings: PlatformSettings = parse_settings(platform, "local")
    return backup.Restoration(services.client, settings, prepared.images.references["backup"], KEYS)


def backup_to(s3: S3) -> dict[str, object]:
    return {"s3": {"url": s3.url}}


def healthy(services: DeclaredServices, *names: str) -> None:
    for name in names:
        until(partial(is_healthy, services, name), 120, f"{name} to be healthy")


def is_healthy(services: DeclaredServices, name: str) -> bool:
    return bool(container(services, name).health == "healthy")


def container(services: DeclaredServices, name: str) -> Container:
    return services.client.containers.get(f"{services.prefix}-{name}")


def ask(services: DeclaredServices, *command: str) -> str:
    return backup.ask(services.client, health.services(services.client, services.prefix), *command)


def get(services: DeclaredServices, service: str, path: str, **parameters: str) -> httpx.Response:
    return httpx.get(f"http://{services.address(service)}:{PORTS[service]}{path}", params=parameters, trust_env=False)


def counted(services: DeclaredServices) -> valkey.Valkey:
    return valkey.Valkey(services.address("valkey"))


def what_is_there(services: DeclaredServices, moment: float) -> dict[str, bool]:
    """Of each service, whether it has what the tests gave it."""
    up = {"query": 'max_over_time(up{job="prometheus"}[10s])', "time": f"{moment:.0f}"}
    logs = {"query": '{service="test"}', "start": f"{moment - 600:.0f}"}
    return {
        "valkey": counted(services).get("counted") == b"3",
        "prometheus": bool(get(services, "prometheus", "/api/v1/query", **up).json()["data"]["result"]),
        "loki": LINE in get(services, "loki", "/loki/api/v1/query_range", **logs).text,
        "jaeger": get(services, "jaeger", f"/api/traces/{TRACE}").is_success,
        "alertmanager": LINE in get(services, "alertmanager", "/api/v2/silences").text,
    }


@pytest.fixture(scope="module")
def moment(services: DeclaredServices) -> float:
    """When each service had its data, in seconds since 1970."""
    healthy(services, *SERVICES)
    counted(services).set("counted", 3)
    send(services, TRACE)
    pushed = {"streams": [{"stream": {"service": "test"}, "values": [[str(time.time_ns()), LINE]]}]}
    loki = f"http://{services.address('loki')}:{PORTS['loki']}"
    httpx.post(f"{loki}/loki/api/v1/push", json=pushed, trust_env=False).raise_for_status()
    silencing = ["amtool", "--alertmanager.url=http://localhost:9093", "silence", "add", "-c", LINE, "a=b"]
    assert container(services, "alertmanager").exec_run(silencing)[0] == 0
    # It writes silences each minute, and when it ends.
    container(services, "alertmanager").restart()
    healthy(services, "alertmanager")
    until(lambda: all(what_is_there(services, time.time()).values()), 60, "the data of each service")
    return time.time()


def test_a_backup_is_made_while_the_services_run(services: DeclaredServices, moment: float) -> None:
    services.start("backup")
    healthy(services, "backup")
    # The first one is due at once, and a drill after it.
    until(lambda: "backup_drill_passed 1.0" in metrics(services), 180, "the first backup and drill")
    said = ask(services, "now")
    assert all(f"{service}-data" in said for service in SERVICES), said
    assert len(ask(services, "list").splitlines()) == 2  # restic keeps the oldest, and the newest of each day
    assert not [name for name in SERVICES if container(services, name).attrs["RestartCount"]]


def metrics(services: DeclaredServices) -> str:
    return httpx.get(f"http://{services.address('backup')}:9500/metrics", trust_env=False).text


def test_nothing_in_the_repository_can_be_read_without_the_password(s3: S3, moment: float) -> None:
    kept = b"".join(map(s3.get, s3.names()))
    assert len(kept) > 100_000
    assert LINE.encode() not in kept and b"prometheus" not in kept


def test_what_is_lost_comes_back_with_owners_and_modes(
    services: DeclaredServices, prepared: Preparation, restoration: backup.Restoration, moment: float, report: Report
) -> None:
    before = owners(services, prepared)
    services.remove()
    assert "as they were at" in restoration.run([], report)
    assert owners(services, prepared) == before
    for service in SERVICES:
        services.start(service)
    healthy(services, *SERVICES)
    until(lambda: all(what_is_there(services, moment).values()), 60, "the restored data of each service")


def owners(services: DeclaredServices, prepared: Preparation) -> str:
    """Owner and mode of the volumes and of some files in them."""
    some = "find /data -maxdepth 1 -o -name MANIFEST -o -name appendonlydir -o -name chunks"
    volumes = {f"{services.prefix}-{it}-data": {"bind": f"/data/{it}", "mode": "ro"} for it in SERVICES}
    said: bytes = services.client.containers.run(
        prepared.images.references["backup"],
        ["-c", f"{some} | sort | xargs stat -c '%n %u:%g %a'"],
        entrypoint="sh",
        user="0:0",
        remove=True,
        volumes=volumes,
    )
    return said.decode()


def test_a_running_service_goes_back_to_what_it_was(
    services: DeclaredServices, restoration: backup.Restoration, report: Report
) -> None:
    counted(services).set("counted", 4)
    restoration.run([], report)
    healthy(services, *SERVICES)
    assert counted(services).get("counted") == b"3"


def test_a_flipped_byte_is_refused_and_changes_nothing(
    services: DeclaredServices, restoration: backup.Restoration, s3: S3, report: Report
) -> None:
    counted(services).set("counted", 5)
    packs = {key: s3.get(key) for key in s3.names() if "/data/" in key}
    key = max(packs, key=lambda it: len(packs[it]))
    content = bytearray(packs[key])
    content[len(content) // 3] ^= 1
    s3.put(key, bytes(content))
    with pytest.raises(StepFailed, match="restic check failed"):
        restoration.run([], report)
    assert counted(services).get("counted") == b"5"


def test_a_drill_of_a_damaged_repository_fails(services: DeclaredServices) -> None:
    volume = f"{services.prefix}-backup-scratch"
    services.start("backup")
    healthy(services, "backup")
    assert volume in str(container(services, "backup").attrs["Mounts"])
    until(lambda: "backup_drill_passed 0.0" in metrics(services), 180, "the drill of a damaged repository")


@pytest.fixture
def rooms(prepared: Preparation) -> Iterator[Rooms]:
    made = Rooms(prepared.engine.client(), prepared.images.references["backup"])
    yield made
    docker_objects.remove_volumes(made.client, docker_objects.remove_all(made.client, made.prefix))


def test_a_database_is_copied_whole_while_it_is_written(rooms: Rooms) -> None:
    writer = rooms.start("-c", WRITES)
    until(lambda: writer.logs().count(b"\n") > 50, 30, "the first writes")
    backup_service = rooms.start("-m", "app.backup", "now", mode="ro")
    assert backup_service.wait()["StatusCode"] == 0, backup_service.logs()
    assert writer.status != "exited"
    writer.remove(force=True)
    for command in (
        ("-c", "import os; [os.remove(it.path) for it in os.scandir('/data/rooms')]"),
        ("-m", "app.backup", "restore"),
    ):
        ended = rooms.start(*command)
        assert ended.wait()["StatusCode"] == 0, ended.logs()
    reader = rooms.start("-c", READS)
    reader.wait()
    assert reader.logs().decode().splitlines() == ["ok", "(0, 1)"]


def test_the_repository_gets_a_changed_password(rooms: Rooms) -> None:
    for password in ("former", "changed"):
        ended = rooms.start("-m", "app.backup", "now", password=password)
        assert ended.wait()["StatusCode"] == 0, ended.logs()
    rooms.start("-c", "import os; os.remove('/scratch/password')").wait()
    for password, code in (("former", 1), ("changed", 0)):
        ended = rooms.start("-m", "app.backup", "list", password=password)
        assert ended.wait()["StatusCode"] == code, ended.logs()
