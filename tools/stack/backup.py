"""Backups of a stack, which its own service makes, and their restoration by a container that ends."""

import contextlib
import io
import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import docker

from infra.config import NAMESPACE, SECRET_KEYS, needed_secrets
from infra.service import DATA_ROLE, ROLE_LABEL, SECRETS, STACK_LABEL
from infra.services.backup import (
    BACKUP,
    CAPABILITIES,
    REPOSITORY,
    REPOSITORY_PATH,
    SECRETS_PREFIX,
    backup_settings,
    is_on_the_host,
)
from infra.settings import PlatformSettings
from tools.console.steps import Report, StepFailed
from tools.stack import docker_objects
from tools.stack.health import ServiceState
from tools.stack.pulumi_stack import PulumiStack

_PROGRAM = ("python", "-m", "app.backup")
_READ_FIRST = "docs/OPERATIONS.md, Backup and restore, tells how backups are set up."


def ask(client: docker.DockerClient, states: Sequence[ServiceState], *command: str) -> str:
    """Run a command of the backup service, and return what it prints.

    Raises:
        StepFailed: it does not run, or fails.
    """
    found = [state for state in states if state.service == BACKUP.name]
    if not found:
        raise StepFailed("The stack has no backup service: the setting `backup` is not set.", _READ_FIRST)
    code, said = docker_objects.execute(client, found[0].container, [*_PROGRAM, *command])
    if code:
        raise StepFailed(said, _READ_FIRST)
    return said


def secrets(settings: PlatformSettings, stack: PulumiStack, report: Report) -> dict[str, str]:
    """The password of the repository and the keys of its place, by the names of their files.

    Raises:
        StepFailed: the setting `backup` or a secret is not set.
    """
    if not settings.backup:
        raise StepFailed("The setting `backup` is not set: there is no repository to restore from.", _READ_FIRST)
    names = [name for name in needed_secrets(settings) if name.startswith(SECRETS_PREFIX)]
    return {name: stack.secret(f"{NAMESPACE}:{SECRET_KEYS[name]}", report) for name in names}


@dataclass(frozen=True)
class Restoration:
    """Restores the volumes of a stack. `image` is our own image `backup`, and `keys` are the secrets of `secrets`."""

    client: docker.DockerClient
    settings: PlatformSettings
    image: str
    keys: Mapping[str, str]

    def unlock(self) -> None:
        """Remove the locks on the repository that a lost server has left, which would keep us waiting.

        Raises:
            StepFailed: the repository can't be reached.
        """
        self._run(["unlock"], [])

    def run(self, snapshot: Sequence[str], report: Report) -> str:
        """Make the volumes what they were in a backup: the newest, or the one whose id is in `snapshot`.

        Services that use them are stopped meanwhile. Volumes that are missing are made.

        Raises:
            StepFailed: the repository is damaged: then nothing was changed. Or a file could not be restored.
        """
        report.say("reading the whole repository")
        names = json.loads(self._run(["check", *snapshot], []))
        volumes = [self._volume(name) for name in names]
        for volume in volumes:
            self.client.volumes.create(volume, labels={STACK_LABEL: self.settings.name, ROLE_LABEL: DATA_ROLE})
        with _stopped(self.client, volumes, report):
            report.say("restoring")
            made = self._run(["restore", *snapshot], names)
        return f"{', '.join(names)} as they were at {made.strip()}"

    def _volume(self, name: str) -> str:
        return f"{self.settings.name}-{name}"

    def _run(self, command: Sequence[str], volumes: Sequence[str]) -> str:
        """What the program prints in a container that may write to these volumes."""
        own = backup_settings(self.settings)
        mounts = {self._volume(name): {"bind": f"{own.data}/{name}", "mode": "rw"} for name in volumes}
        if self.settings.backup and is_on_the_host(self.settings.backup):
            mounts[self._volume(REPOSITORY.name)] = {"bind": REPOSITORY_PATH, "mode": "rw"}
        container = self.client.containers.create(
            self.image,
            list(command),
            entrypoint=list(_PROGRAM),
            user="0:0",
            cap_drop=["ALL"],
            cap_add=list(CAPABILITIES),
            security_opt=["no-new-privileges:true"],
            environment=own.variables(),
            labels={STACK_LABEL: self.settings.name, ROLE_LABEL: "restore"},
            volumes=mounts,
        )
        try:
            container.put_archive("/run", archive(SECRETS.removeprefix("/run/"), self.keys))
            container.start()
            code = container.wait()["StatusCode"]
            if code:
                wrong = container.logs(stdout=False, stderr=True).decode(errors="replace").strip()
                raise StepFailed(wrong[-2000:], _READ_FIRST)
            return container.logs(stdout=True, stderr=False).decode(errors="replace")
        finally:
            container.remove(force=True)


def archive(folder: str, files: Mapping[str, str]) -> bytes:
    """A tar file with files that only their owner may read."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, text in files.items():
            entry = tarfile.TarInfo(f"{folder}/{name}")
            entry.size, entry.mode = len(text.encode()), 0o400
            archive.addfile(entry, io.BytesIO(text.encode()))
    return target.getvalue()


@contextlib.contextmanager
def _stopped(client: docker.DockerClient, volumes: Sequence[str], report: Report) -> Iterator[None]:
    """Stop what uses one of the volumes, and start it again afterwards, also after a failure."""
    users: dict[str, Any] = {
        str(it.id): it for volume in volumes for it in client.containers.list(filters={"volume": volume})
    }
    with contextlib.ExitStack() as stopped:
        for container in users.values():
            report.say(f"stopping {container.name}")
            stopped.callback(container.start)
            container.stop()
        yield
