"""Backups of running services to a real S3 repository, and what comes back from them.

The services are as the program declares them. The tests build on each other, in order.
"""

import secrets
import time
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
import valkey
from docker.models.containers import Container

from infra.config import parse_settings
from infra.settings import STACKS_STORE, PlatformSettings
from tests.declared import DeclaredServices
from tests.program import SECRETS, platform_config
from tests.stack.s3 import S3, serving
from tests.stack.test_traces import send
from tests.waiting import until
from tools.console.steps import Report, StepFailed
from tools.machine import docker_bridge
from tools.machine.preparation import Preparation
from tools.stack import backup, health

KEYS = {
    "backup_password": SECRETS["backupPassword"],
    "backup_s3_id": SECRETS["backupS3Id"],
    "backup_s3_key": SECRETS["backupS3Key"],
}
PORTS = {"prometheus": 9090, "alertmanager": 9093, "loki": 3100, "jaeger": 16686}
SERVICES = ("valkey", *PORTS)
TRACE = secrets.token_hex(16)
LINE = f"a line of {secrets.token_hex(4)}"


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
    return in_volumes(services, prepared, f"{some} | sort | xargs stat -c '%n %u:%g %a'")


def in_volumes(services: DeclaredServices, prepared: Preparation, script: str) -> str:
    """What a shell script prints for which each service's volume is a folder of /data."""
    volumes = {f"{services.prefix}-{it}-data": {"bind": f"/data/{it}", "mode": "rw"} for it in SERVICES}
    said: bytes = services.client.containers.run(
        prepared.images.references["backup"],
        ["-c", script],
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


def test_loki_had_written_its_lines_to_chunks_before_the_copy(
    services: DeclaredServices, prepared: Preparation, restoration: backup.Restoration, moment: float, report: Report
) -> None:
    """Without the log of what it has in memory, which it would replay."""
    container(services, "loki").stop()
    restoration.run([], report)
    assert in_volumes(services, prepared, "cd /data/loki; ls -d wal; rm -r wal") == "wal\n"
    container(services, "loki").start()
    healthy(services, "loki")
    until(lambda: what_is_there(services, moment)["loki"], 60, "the line in Loki's chunks")


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
