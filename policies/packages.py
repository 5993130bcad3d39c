"""The packages service: its ways out, what it holds, and who may write to its store."""

from collections.abc import Iterator
from typing import Any

from policies.inputs import Inputs
from policies.rules import rule

PACKAGES = "packages"
_STORE, _SOCKET = "-packages-store", "-packages-run"
_OUTBOUND = "-outbound"


def _mounts(inputs: Inputs) -> list[dict[str, Any]]:
    return [mount for mount in inputs.sequence("mounts") if isinstance(mount, dict)]


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
        for mount in _mounts(inputs):
            if _is(mount, _STORE) and mount.get("readOnly") is not True:
                yield f"readOnly of {mount.get('source')!r} is {mount.get('readOnly')!r}"
