"""What a stack has on the engine, found by its label, whatever the state says."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import docker

from infra.service import DATA_ROLE, ROLE_LABEL, STACK_LABEL

SANDBOX_LABEL = "vps.sandbox"
# What holds another comes first.
_ORDER = ("container", "network", "volume")


@dataclass(frozen=True)
class Thing:
    """A container, a network, or a volume that is made anew from the program."""

    kind: str
    id: str
    name: str
    is_sandbox: bool = False


@dataclass(frozen=True)
class Leftovers:
    """What is there of a stack. `volumes` are apart from the rest: they hold its data."""

    things: tuple[Thing, ...]
    volumes: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.things)

    @property
    def ids(self) -> set[str]:
        return {*self.volumes, *(thing.id for thing in self.things)}

    @property
    def names(self) -> list[str]:
        return [f"{thing.kind} {thing.name}" for thing in self.things]

    def without(self, known: Iterable[str]) -> "Leftovers":
        """All but those with these ids."""
        ids = set(known)
        return self._those(lambda thing: thing.id not in ids)

    def without_sandboxes(self) -> "Leftovers":
        """All but the sandboxes, which belong to the executor and not to the state."""
        return self._those(lambda thing: not thing.is_sandbox)

    def sandboxes(self) -> "Leftovers":
        """Only the sandboxes."""
        return self._those(lambda thing: thing.is_sandbox)

    def _those(self, wanted: Callable[[Thing], bool]) -> "Leftovers":
        return Leftovers(tuple(thing for thing in self.things if wanted(thing)), self.volumes)


def find(client: docker.DockerClient, prefix: str) -> Leftovers:
    """Everything labelled as of the stack with this name prefix."""
    mine: dict[str, str | list[str] | bool] = {"label": f"{STACK_LABEL}={prefix}"}
    containers = [
        Thing("container", str(it.id), it.attrs["Names"][0].lstrip("/"), SANDBOX_LABEL in it.attrs["Labels"])
        for it in client.containers.list(all=True, sparse=True, filters=mine)
    ]
    networks = [Thing("network", str(it.id), str(it.name)) for it in client.networks.list(filters=mine)]
    volumes = {str(it.name): it.attrs["Labels"].get(ROLE_LABEL) for it in client.volumes.list(filters=mine)}
    made = [Thing("volume", name, name) for name, role in volumes.items() if role != DATA_ROLE]
    return Leftovers(
        (*containers, *networks, *made), tuple(name for name, role in volumes.items() if role == DATA_ROLE)
    )


def remove(client: docker.DockerClient, found: Leftovers) -> None:
    """Remove all but the data. What is already gone is fine."""
    for thing in sorted(found.things, key=lambda thing: _ORDER.index(thing.kind)):
        try:
            if thing.kind == "container":
                client.api.remove_container(thing.id, v=True, force=True)
            elif thing.kind == "network":
                client.api.remove_network(thing.id)
            else:
                client.api.remove_volume(thing.id)
        except docker.errors.NotFound:
            continue


def remove_all(client: docker.DockerClient, prefix: str) -> tuple[str, ...]:
    """Remove everything of a stack but its data. Returns the volumes with data, which stay."""
    # An executor that lives makes new sandboxes in the place of those that go: it goes first.
    remove(client, find(client, prefix).without_sandboxes())
    remove(client, find(client, prefix))
    return find(client, prefix).volumes


def remove_volumes(client: docker.DockerClient, names: Iterable[str]) -> None:
    """Remove volumes, with the data in them."""
    for name in names:
        client.api.remove_volume(name)
