"""The properties that the cases of the rules name exist in the installed SDK."""

import pulumi_docker as docker

from policies.rules import CONTAINER
from tests.policies.test_rules import BAD


def _schema(args: type) -> set[str]:
    """The names of a class's properties in the installed SDK, in camelCase."""
    properties = (value for value in vars(args).values() if isinstance(value, property))
    return {getattr(value.fget, "_pulumi_name", None) or value.fget.__name__ for value in properties if value.fget}


ELEMENTS = {
    "capabilities": docker.ContainerCapabilitiesArgs,
    "devices": docker.ContainerDeviceArgs,
    "healthcheck": docker.ContainerHealthcheckArgs,
    "labels": docker.ContainerLabelArgs,
    "mounts": docker.ContainerMountArgs,
    "networksAdvanced": docker.ContainerNetworksAdvancedArgs,
    "ports": docker.ContainerPortArgs,
    "ulimits": docker.ContainerUlimitArgs,
    "uploads": docker.ContainerUploadArgs,
    "volumes": docker.ContainerVolumeArgs,
}


def test_the_properties_in_the_cases_exist() -> None:
    """Otherwise a misspelt property in a rule and in its case would go unnoticed."""
    containers = [item for case in BAD for item in case.resources if item.type == CONTAINER]
    for item in containers:
        assert set(item.inputs) <= _schema(docker.ContainerArgs)
        for name, args in ELEMENTS.items():
            value = item.inputs.get(name) or []
            for element in value if isinstance(value, list) else [value]:
                assert set(element) <= _schema(args)
