"""Backup and restore of real volumes."""

import secrets
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from infra.service import DATA_ROLE, ROLE_LABEL, STACK_LABEL
from tools.console.steps import Report, StepFailed
from tools.machine.preparation import Preparation
from tools.stack import backup, docker_objects

WRITE = (
    "mkdir -p /data/deep && echo precious > /data/deep/file && chmod 640 /data/deep/file && ln -s file /data/deep/link"
)
READ = "stat -c '%n %u:%g %a %F' /data /data/deep/*; cat /data/deep/link"


@pytest.fixture
def client(prepared: Preparation) -> docker.DockerClient:
    return prepared.engine.client()


@pytest.fixture
def prefix(client: docker.DockerClient) -> Iterator[str]:
    """The prefix of a stack that consists of one data volume."""
    name = f"test-{secrets.token_hex(4)}"
    client.volumes.create(f"{name}-things-data", labels={STACK_LABEL: name, ROLE_LABEL: DATA_ROLE})
    yield name
    docker_objects.remove_volumes(client, docker_objects.remove_all(client, name))


@pytest.fixture
def image(prepared: Preparation) -> str:
    return prepared.images.references["app"]


def shell(client: docker.DockerClient, image: str, prefix: str, command: str) -> str:
    """The output of a shell command in a container that mounts the volume."""
    said: bytes = client.containers.run(
        image,
        ["-c", command],
        entrypoint="sh",
        user="0:0",
        network_mode="none",
        remove=True,
        labels={STACK_LABEL: prefix},
        volumes={f"{prefix}-things-data": {"bind": "/data", "mode": "rw"}},
    )
    return said.decode()


def test_restore_brings_back_content_owner_and_mode(
    client: docker.DockerClient, prefix: str, image: str, report: Report, tmp_path: Path
) -> None:
    shell(client, image, prefix, f"{WRITE}; chown -R 65534:65534 /data; chmod 750 /data")
    before = shell(client, image, prefix, READ)
    assert "/data 65534:65534 750 directory" in before
    backup.save(client, prefix, image, tmp_path / "saved", report)
    shell(client, image, prefix, "rm -r /data/deep; echo later > /data/later")
    backup.restore(client, prefix, image, tmp_path / "saved", report)
    assert shell(client, image, prefix, READ) == before
    assert "later" not in shell(client, image, prefix, "ls /data")
    assert docker_objects.find(client, prefix).volumes == (f"{prefix}-things-data",)


def test_a_service_runs_on_after_a_backup_and_prevents_a_restore(
    client: docker.DockerClient, prefix: str, image: str, report: Report, tmp_path: Path
) -> None:
    service = client.containers.run(
        image,
        ["-c", "while true; do date +%N >> /data/log; sleep 0.01; done"],
        entrypoint="sh",
        user="0:0",
        network_mode="none",
        detach=True,
        labels={STACK_LABEL: prefix},
        volumes={f"{prefix}-things-data": {"bind": "/data", "mode": "rw"}},
    )
    backup.save(client, prefix, image, tmp_path / "saved", report)
    service.reload()
    assert service.status == "running"
    with pytest.raises(StepFailed, match="in use by"):
        backup.restore(client, prefix, image, tmp_path / "saved", report)


def test_a_loader_does_not_prevent_a_restore(
    client: docker.DockerClient, prefix: str, image: str, report: Report, tmp_path: Path
) -> None:
    shell(client, image, prefix, WRITE)
    backup.save(client, prefix, image, tmp_path / "saved", report)
    volumes = {f"{prefix}-things-data": {"bind": "/tmp", "mode": "rw"}}
    opener, service = (
        client.containers.create(
            image, ["never-started"], volumes=volumes, labels={STACK_LABEL: prefix, ROLE_LABEL: role}
        )
        for role in ("data-loader", "service")
    )
    # A stopped service counts as a user of the volume too.
    with pytest.raises(StepFailed, match=f"in use by {service.name}"):
        backup.restore(client, prefix, image, tmp_path / "saved", report)
    opener.reload()
    service.remove()
    backup.restore(client, prefix, image, tmp_path / "saved", report)
    with pytest.raises(docker.errors.NotFound):
        opener.reload()


def test_a_damaged_backup_is_refused_and_changes_nothing(
    client: docker.DockerClient, prefix: str, image: str, report: Report, tmp_path: Path
) -> None:
    shell(client, image, prefix, WRITE)
    folder = tmp_path / "saved"
    (archive,) = backup.save(client, prefix, image, folder, report)
    with (folder / archive.file).open("r+b") as content:
        content.seek(20)
        content.write(b"damage")
    with pytest.raises(StepFailed, match=r"things-data\.tar\.gz in .* is damaged"):
        backup.restore(client, prefix, image, folder, report)
    assert "precious" in shell(client, image, prefix, READ)


def test_a_backup_is_readable_by_its_owner_only(
    client: docker.DockerClient, prefix: str, image: str, report: Report, tmp_path: Path
) -> None:
    backup.save(client, prefix, image, tmp_path / "saved", report)
    assert (tmp_path / "saved").stat().st_mode & 0o777 == 0o700
    with pytest.raises(StepFailed, match="exists"):
        backup.save(client, prefix, image, tmp_path / "saved", report)
    assert [path.name for path in tmp_path.iterdir()] == ["saved"]
