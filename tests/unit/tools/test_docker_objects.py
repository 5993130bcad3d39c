from types import SimpleNamespace
from typing import Any

import docker

from tools.stack import docker_objects
from tools.stack.docker_objects import DockerObject, StackObjects

CONTAINER, NETWORK, VOLUME = (
    DockerObject("container", "1", "c"),
    DockerObject("network", "2", "n"),
    DockerObject("volume", "v", "v"),
)


def test_objects_with_known_ids_are_left_out() -> None:
    found = StackObjects((CONTAINER, NETWORK), ("data",))
    assert found.without(["1"]).names == ["network n"]
    assert not found.without(["1", "2"])


def test_data_volumes_are_separated_from_other_volumes() -> None:
    def listing(*found: Any) -> Any:
        return SimpleNamespace(list=lambda **_: list(found))

    volumes = [
        SimpleNamespace(name="vps-x-prometheus-data", attrs={"Labels": {"vps.role": "data"}}),
        SimpleNamespace(name="vps-x-traefik-config-0123", attrs={"Labels": {}}),
    ]
    client: Any = SimpleNamespace(containers=listing(), networks=listing(), volumes=listing(*volumes))
    found = docker_objects.find(client, "vps-x")
    assert found.volumes == ("vps-x-prometheus-data",)
    assert found.names == ["volume vps-x-traefik-config-0123"]
    assert found.ids == {"vps-x-prometheus-data", "vps-x-traefik-config-0123"}


def test_containers_are_removed_first_and_missing_objects_are_no_error() -> None:
    removed: list[str] = []

    def remove_container(id: str, **_: object) -> None:
        removed.append(id)
        raise docker.errors.NotFound("gone")

    client: Any = SimpleNamespace(
        api=SimpleNamespace(
            remove_container=remove_container, remove_network=removed.append, remove_volume=removed.append
        )
    )
    docker_objects.remove(client, StackObjects((VOLUME, NETWORK, CONTAINER), ("data",)))
    assert removed == ["1", "2", "v"]
