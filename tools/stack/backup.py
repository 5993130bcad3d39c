"""The data of a stack as files: an archive of each data volume, with owners and modes, and a list of checksums.

Volumes are read and written through Docker's API, by a container that is never started. So it works the same for Docker
on this machine and over SSH.
"""

import contextlib
import gzip
import hashlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import docker

from infra.service import DATA_ROLE, ROLE_LABEL, STACK_LABEL
from tools.console.steps import Report, StepFailed
from tools.paths import private_folder, write_private
from tools.stack import docker_objects

LIST = "backup.json"
_DATA = "/data"
_CHUNK = 1024**2


@dataclass(frozen=True)
class Archive:
    """One volume: its name without the stack's prefix, and the SHA-256 of its archive's file."""

    volume: str
    sha256: str

    @property
    def file(self) -> str:
        return f"{self.volume}.tar.gz"


def save(client: docker.DockerClient, prefix: str, image: str, folder: Path, report: Report) -> list[Archive]:
    """Write every data volume of the stack into `folder`, which appears once it is complete.

    Services that use a volume are paused while it is read (seconds). The archive is like the data after a power cut,
    from which all services recover by their own logs.

    Raises:
        StepFailed: the stack has no data, or the folder exists.
    """
    volumes = docker_objects.find(client, prefix).volumes
    if not volumes:
        raise StepFailed(f"The stack {prefix} has no data in this Docker.", "`make up` brings one up that has.")
    if folder.exists():
        raise StepFailed(f"{folder} exists.", "Name another folder, or remove that one.")
    private_folder(folder.parent)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unfinished-") as scratch:
        whole = private_folder(Path(scratch) / "backup")
        archives = []
        for name in sorted(volumes):
            report.say(f"saving {name}")
            archives.append(_save(client, prefix, name, image, whole))
        write_private(whole / LIST, json.dumps([asdict(archive) for archive in archives], indent=2) + "\n")
        whole.rename(folder)
    return archives


def restore(client: docker.DockerClient, prefix: str, image: str, folder: Path, report: Report) -> list[Archive]:
    """Put the volumes back as they were saved. What they hold now is lost.

    Raises:
        StepFailed: the backup is damaged, or a service uses one of the volumes. Nothing was changed then.
    """
    archives = read(folder)
    there = set(docker_objects.find(client, prefix).volumes)
    # Docker removes a volume only after every container that names it, stopped ones too.
    holders = {
        it.volume: client.containers.list(all=True, filters={"volume": f"{prefix}-{it.volume}"}) for it in archives
    }
    for volume, containers in holders.items():
        if services := [str(container.name) for container in containers if not _is_loader(container)]:
            raise StepFailed(
                f"The volume {prefix}-{volume} is in use by {', '.join(services)}.",
                "Take the stack down first (`make down`; its data stays), restore, then bring it up again.",
            )
    for archive in archives:
        name = f"{prefix}-{archive.volume}"
        for loader in holders[archive.volume]:
            loader.remove()
        report.say(f"restoring {name}")
        if name in there:
            docker_objects.remove_volumes(client, [name])
        client.volumes.create(name, labels={STACK_LABEL: prefix, ROLE_LABEL: DATA_ROLE})
        with gzip.open(folder / archive.file) as content, _carrier(client, prefix, name, image) as carrier:
            carrier.put_archive("/", content)
    return archives


def read(folder: Path) -> list[Archive]:
    """The archives of a backup, checked against their checksums.

    Raises:
        StepFailed: the list or an archive is missing or damaged.
    """
    try:
        archives = [Archive(**entry) for entry in json.loads((folder / LIST).read_text())]
        damaged = [it.file for it in archives if _sha256(folder / it.file) != it.sha256]
    except (OSError, ValueError, TypeError) as error:
        raise StepFailed(
            f"{folder} is not a complete backup: {error}.", "Name a folder that `make backup` wrote."
        ) from error
    if damaged:
        raise StepFailed(f"{', '.join(damaged)} in {folder} is damaged.", "Take an older backup. Nothing was changed.")
    return archives


def _save(client: docker.DockerClient, prefix: str, name: str, image: str, folder: Path) -> Archive:
    volume = name.removeprefix(f"{prefix}-")
    path = folder / Archive(volume, "").file
    with _frozen(client.containers.list(filters={"volume": name})), _carrier(client, prefix, name, image) as carrier:
        chunks, _ = carrier.get_archive(_DATA, chunk_size=_CHUNK)
        with gzip.open(path, "wb") as sink:
            for chunk in chunks:
                sink.write(chunk)
    return Archive(volume, _sha256(path))


@contextlib.contextmanager
def _carrier(client: docker.DockerClient, prefix: str, volume: str, image: str) -> Iterator[Any]:
    """A container that is never started, through which Docker reads and writes the volume."""
    container = client.containers.create(
        image,
        ["never-started"],
        labels={STACK_LABEL: prefix, ROLE_LABEL: "backup"},
        network_mode="none",
        volumes={volume: {"bind": _DATA, "mode": "rw"}},
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def _is_loader(container: Any) -> bool:
    """Whether it only prepares the volume for its service; the next `up` creates it again."""
    return str(container.labels.get(ROLE_LABEL, "")).endswith("-loader")


@contextlib.contextmanager
def _frozen(containers: list[Any]) -> Iterator[None]:
    with contextlib.ExitStack() as frozen:
        for container in containers:
            container.pause()
            frozen.callback(container.unpause)
        yield


def _sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
