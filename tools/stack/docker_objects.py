"""The containers, networks and volumes of a stack in Docker, found by their label and not by Pulumi's state."""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import docker

from infra.service import DATA_ROLE, ROLE_LABEL, STACK_LABEL

# The order of removal: containers use networks and volumes.
_ORDER = ("container", "network", "volume")


@dataclass(frozen=True)
class DockerObject:
    """A container, a network, or a volume that holds no data of the stack."""

    kind: str
    id: str
    name: str


@dataclass(frozen=True)
class StackObjects:
    """What Docker has of a stack. `volumes` are those that hold its data, and are not among `objects`."""

    objects: tuple[DockerObject, ...]
    volumes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.objects)

    @property
    def ids(self) -> set[str]:
        return {*self.volumes, *(thing.id for thing in self.objects)}

    @property
    def names(self) -> list[str]:
        return [f"{thing.kind} {thing.name}" for thing in self.objects]

    def without(self, known: Iterable[str]) -> "StackObjects":
        """All things except those with these ids."""
        ids = set(known)
        return StackObjects(tuple(thing for thing in self.objects if thing.id not in ids), self.volumes)


def find(client: docker.DockerClient, prefix: str) -> StackObjects:
    """Everything with the label of the stack with this name prefix, containers from the oldest on.

    Up to version 0.4, sandboxes were containers too, and their executor replaced those that were removed before it.
    """
    mine: dict[str, str | list[str] | bool] = {"label": f"{STACK_LABEL}={prefix}"}
    containers = [
        DockerObject("container", str(it.id), it.attrs["Names"][0].lstrip("/"))
        for it in reversed(client.containers.list(all=True, sparse=True, filters=mine))
    ]
    networks = [DockerObject("network", str(it.id), str(it.name)) for it in client.networks.list(filters=mine)]
    volumes = {str(it.name): it.attrs["Labels"].get(ROLE_LABEL) for it in client.volumes.list(filters=mine)}
    made = [DockerObject("volume", name, name) for name, role in volumes.items() if role != DATA_ROLE]
    return StackObjects(
        (*containers, *networks, *made), tuple(name for name, role in volumes.items() if role == DATA_ROLE)
    )


def remove(client: docker.DockerClient, found: StackObjects) -> None:
    """Remove everything but the data. It is no error if something is gone already."""
    for thing in sorted(found.objects, key=lambda thing: _ORDER.index(thing.kind)):
        try:
            if thing.kind == "container":
                remove_container(client, thing.id)
            elif thing.kind == "network":
                client.api.remove_network(thing.id)
            else:
                client.api.remove_volume(thing.id)
        except docker.errors.NotFound:
            continue


def remove_container(client: docker.DockerClient, id_: str) -> None:
    """Remove a container, if it is there, with its unnamed volumes."""
    with contextlib.suppress(docker.errors.NotFound):
        client.api.remove_container(id_, v=True, force=True)


def remove_all(client: docker.DockerClient, prefix: str) -> tuple[str, ...]:
    """Remove everything of a stack but its data. Returns the names of the volumes with data."""
    remove(client, find(client, prefix))
    return find(client, prefix).volumes


def remove_volumes(client: docker.DockerClient, names: Iterable[str]) -> None:
    """Remove volumes and the data in them."""
    for name in names:
        client.api.remove_volume(name)


def execute(
    client: docker.DockerClient, container: str, command: Sequence[str], environment: Mapping[str, str] | None = None
) -> tuple[int | None, str]:
    """Run a program in a container. Returns its exit code, and what it prints, without white space around it.

    Raises:
        docker.errors.APIError: the container is gone, or does not run.
    """
    found = client.containers.get(container)
    code, said = found.exec_run(list(command), environment=dict(environment or {}))
    assert isinstance(said, bytes)  # noqa: S101 - not a stream, which the type does not show
    return code, said.decode(errors="replace").strip()
