"""The packages service, and on a cluster its copies: ways out, what they hold, and who may write to their stores."""

from collections.abc import Iterator
from typing import Any

from policies.inputs import Inputs
from policies.kubernetes import WORKLOAD, pod_of
from policies.rules import rule

PACKAGES = "packages"
_STORE, _SOCKET = "-packages-store", "-packages-run"
_OUTBOUND = "-outbound"
_IN_POD = ("packages-store", "packages-run")
_MAY_MOUNT = {PACKAGES: {*_IN_POD, "packages-memory-tmp"}, "packages-copy": {*_IN_POD}}
"""The volumes that the containers of these names have in their pods."""


def _known(items: list[Any]) -> list[dict[str, Any]]:
    """Those that are known before the update. On a cluster, `pod-image` and others refuse a container that is not."""
    return [it for it in items if isinstance(it, dict)]


def _is(mount: dict[str, Any], volume: str) -> bool:
    return isinstance(mount.get("source"), str) and str(mount["source"]).endswith(volume)


@rule("packages-network", running=True)
def network(inputs: Inputs) -> Iterator[str]:
    """The packages service can reach a package index, and no other service of the platform.

    Fix: Set networksAdvanced to the network `outbound` alone.
    """
    networks = [item.get("name") if isinstance(item, dict) else item for item in inputs.sequence("networksAdvanced")]
    alone = len(networks) == 1 and isinstance(networks[0], str) and networks[0].endswith(_OUTBOUND)
    if inputs.service == PACKAGES and not alone:
        yield f"networksAdvanced names {networks!r}"


@rule("packages-mounts", running=True)
def mounts(inputs: Inputs) -> Iterator[str]:
    """The packages service has its store, its socket and a /tmp in memory: no secret and no other service's data.

    Fix: Remove the other mounts.
    """
    if inputs.service == PACKAGES:
        for mount in inputs.sequence("mounts"):
            known = isinstance(mount, dict) and (
                _is(mount, _STORE) or _is(mount, _SOCKET) or mount.get("type") == "tmpfs"
            )
            if not known:
                yield f"a mount is {mount!r}"


@rule("packages-store", running=True)
def store(inputs: Inputs) -> Iterator[str]:
    """Only the packages service writes to its store: what sandboxes import comes from there.

    Fix: Set readOnly to true for the mount of the store.
    """
    if inputs.service != PACKAGES:
        for mount in _known(inputs.sequence("mounts")):
            if _is(mount, _STORE) and mount.get("readOnly") is not True:
                yield f"readOnly of {mount.get('source')!r} is {mount.get('readOnly')!r}"


@rule("packages-pod", resource_type=WORKLOAD)
def pod(inputs: Inputs) -> Iterator[str]:
    """In a pod, only the packages service or a unit's copy writes to a store of packages, and it has no other volume.

    Fix: Set readOnly to true for the mount of the store or of its socket, and remove other mounts of the service.
    """
    found = pod_of(inputs)
    for container in map(Inputs, _known([*found.sequence("containers"), *found.sequence("initContainers")])):
        may_mount = _MAY_MOUNT.get(str(container.get("name")))
        for mount in _known(container.sequence("volumeMounts")):
            writes = mount.get("name") in _IN_POD and mount.get("readOnly") is not True
            faulty = writes if may_mount is None else mount.get("name") not in may_mount
            if faulty:
                yield f"a mount of {container.get('name')!r} is {mount!r}"
