"""A stack on an empty server, from its state, its secrets and the repository of its backups."""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import Any

import docker

from infra.host import ssh
from infra.host.host import docker_url
from infra.service import ROLE_LABEL, STACK_LABEL
from infra.services.backup import is_on_the_host
from infra.settings import PlatformSettings, Ssh
from tools.console.steps import Report, Step, StepFailed
from tools.machine import process
from tools.stack import backup, config, docker_objects, target
from tools.stack.docker_objects import StackObjects
from tools.stack.pulumi_stack import PulumiStack, changes

_SERVERS = ("docker", "command")
"""Pulumi's plugins for what is on the server. What they made is lost with it; DNS records are not."""
_HOST = ("**vps:infra:Host**", "**vps:infra:Firewall**")
_DNS = ("**::vps:infra:Platform::platform", "**vps:infra:Dns**")
"""Patterns of URNs: the server's preparation, which installs Docker, and its firewall; and DNS, whose provider Pulumi
does not leave out of any `up`."""
_BEGUN, _RESTORED = "recovery-begun", "recovery-restored"
"""Volumes that mark how far a recovery is. Without them, nothing that is on the server is touched."""
_NAMES = 5
_SECTION = "docs/OPERATIONS.md, Recover on an empty server"


@dataclass(frozen=True)
class Recovery:
    """Brings a stack to where only `up` is left. What was broken off, at any point, goes on when it is run again.

    The data is restored once: after that, services may have written to it.
    """

    stack: PulumiStack
    settings: PlatformSettings

    def steps(self) -> list[Step]:
        """The steps before `up`. Each raises StepFailed with the cause and the fix."""
        return [
            Step("Empty server", self.look),
            Step("State", self.forget),
            Step("Host", self.prepare),
            Step("Data", self.restore),
        ]

    def look(self, report: Report) -> str:
        """Refuse a server that has anything of the stack, and a stack without what restores it: nothing is changed.

        Of a recovery that was broken off, what holds no data is removed: it may not be in the state.
        """
        self._keys(report)
        if self.settings.host and not self._has_docker(self.settings.host.ssh, report):
            return "it has no Docker yet"
        with target.docker(self.settings, report, as_root=True) as engine:
            found = docker_objects.find(engine.client(), self.settings.name)
            if not found.ids:
                return f"Docker {engine.version()} has nothing of {self.settings.name}"
            self._refuse(found)
            docker_objects.remove(engine.client(), found.without(self._marks))
        return "goes on with a recovery that was broken off"

    def forget(self, report: Report) -> str:
        """Take what was on the lost server out of the state."""
        lost = self.stack.edit(without_server, report)
        return f"{lost} resources of the lost server are forgotten" if lost else "has nothing of the lost server"

    def prepare(self, report: Report) -> str:
        """Bring up the firewall and Docker."""
        if not self.settings.host:
            return "is not prepared by this stack"
        return changes(self.stack.up_only([*_HOST, *(_DNS if self.settings.dns else ())], report))

    def restore(self, report: Report) -> str:
        """Restore the newest backup into volumes that no service uses yet."""
        with target.docker(self.settings, report) as engine:
            client = engine.client()
            begun, restored = self._marks
            self._mark(client, begun)
            if restored in docker_objects.find(client, self.settings.name).ids:
                return "was restored before the recovery was broken off"
            image = self.settings.image("backup")
            _pull(client, image, report)
            restoration = backup.Restoration(client, self.settings, image, self._keys(report))
            restoration.unlock()
            said = restoration.run([], report)
            self._mark(client, restored)
        return said

    def end(self, report: Report) -> str:
        """Remove the marks, so that the next recovery of this server is refused."""
        with target.docker(self.settings, report) as engine:
            docker_objects.remove_volumes(engine.client(), self._marks)
        return f"{self.settings.name} runs on {self._place}"

    @property
    def _marks(self) -> tuple[str, str]:
        return f"{self.settings.name}-{_BEGUN}", f"{self.settings.name}-{_RESTORED}"

    @property
    def _place(self) -> str:
        return docker_url(self.settings.host) if self.settings.host else self.settings.engine.host

    def _mark(self, client: docker.DockerClient, name: str) -> None:
        client.volumes.create(name, labels={STACK_LABEL: self.settings.name, ROLE_LABEL: "recovery"})

    def _keys(self, report: Report) -> Mapping[str, str]:
        keys = backup.secrets(self.settings, self.stack, report)
        if self.settings.backup and is_on_the_host(self.settings.backup):
            raise StepFailed(
                "The backups are in a volume of the server's own Docker, and lost with it.",
                f"Name the repository that has them: `backup.s3` or `backup.sftp`. {_SECTION}, tells more.",
            )
        return keys

    def _has_docker(self, host: Ssh, report: Report) -> bool:
        try:
            return bool(process.capture(ssh.arguments(host, "sh", "-c", "command -v docker || true"), report).strip())
        except process.CommandFailed as error:
            raise _unreachable(error, host, self.stack.name) from error

    def _refuse(self, found: StackObjects) -> None:
        if found.ids & {*self._marks}:
            return
        names = [*found.names, *(f"volume {name}" for name in found.volumes)]
        more = f" and {len(names) - _NAMES} more" if len(names) > _NAMES else ""
        argument = config.argument(self.stack.name)
        raise StepFailed(
            f"{self._place} is not empty: it has {', '.join(names[:_NAMES])}{more}. Nothing was changed.",
            f"If it is the platform that you want back, make up{argument} mends it, and make restore{argument} makes "
            "its data what it was. To overwrite it, remove it first: docs/DEPLOYMENT.md, Destroying.",
        )


def without_server(deployment: Mapping[str, Any]) -> dict[str, Any]:
    """A state's deployment without what was on the server, and without mentions of it."""
    resources = deployment.get("resources") or ()
    lost = {it["urn"] for it in resources if _is_on_server(it)}
    return {
        **deployment,
        "resources": [_unrelated(it, lost) for it in resources if it["urn"] not in lost],
        "pending_operations": [
            it for it in deployment.get("pending_operations") or () if not _is_on_server(it["resource"])
        ],
    }


def _is_on_server(resource: Mapping[str, Any]) -> bool:
    return str(resource["type"]).removeprefix("pulumi:providers:").partition(":")[0] in _SERVERS


def _unrelated(resource: Mapping[str, Any], lost: Set[str]) -> dict[str, Any]:
    """A resource that depends on none of the lost ones: Pulumi refuses a state that names what it does not have."""
    kept = dict(resource)
    if "dependencies" in kept:
        kept["dependencies"] = [urn for urn in kept["dependencies"] if urn not in lost]
    if "propertyDependencies" in kept:
        kept["propertyDependencies"] = {
            name: [urn for urn in urns or () if urn not in lost] for name, urns in kept["propertyDependencies"].items()
        }
    return kept


def _pull(client: docker.DockerClient, image: str, report: Report) -> None:
    """Have Docker pull an image that it lacks.

    Raises:
        StepFailed: the registry does not give it.
    """
    try:
        client.images.get(image)
    except docker.errors.ImageNotFound:
        report.say(f"pulling {image}")
        try:
            client.images.pull(image)
        except docker.errors.APIError as error:
            raise StepFailed(
                f"The server can't pull {image}: {error.explanation}.",
                "Push it (make publish) where the server can pull it without a login, then run this again.",
            ) from error


def _unreachable(error: process.CommandFailed, settings: Ssh, stack: str) -> StepFailed:
    if ssh.OTHER_KEY in error.output:
        return StepFailed(
            f"{settings.address} has another key than host.ssh.host_key: it is a new server, or one that pretends to "
            "be it. Nothing was changed.",
            "Compare its key with the one on the provider's console (docs/DEPLOYMENT.md, The host's key). If they are "
            f"the same: pulumi config set --stack {stack} --path vps:platform.host.ssh.host_key 'ssh-ed25519 AAAA...'",
        )
    return StepFailed(
        f"{settings.address} can't be reached over SSH: {error.last_line or error}",
        f"host.ssh names the new server's address, and a key that its {settings.user} accepts: {_SECTION}.",
    )
