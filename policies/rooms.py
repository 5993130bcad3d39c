"""Who has the rooms' documents."""

from collections.abc import Iterator

from policies.inputs import SERVICE_LABEL, Inputs
from policies.kubernetes import ROOMS_UNIT, WORKLOAD, labels_of, pod_of
from policies.rules import rule

_API = "api"
_CLAIM = "rooms-data"
_DATA = f"-{_CLAIM}"


@rule("rooms-data", running=True)
def data(inputs: Inputs) -> Iterator[str]:
    """Only the api has the volume of the rooms: what visitors have written there.

    Fix: Remove the mount of the volume rooms-data.
    """
    if inputs.service != _API:
        for mount in inputs.sequence("mounts"):
            if isinstance(mount, dict) and str(mount.get("source")).endswith(_DATA):
                yield f"a mount is {mount!r}"


@rule("rooms-claim", resource_type=WORKLOAD)
def claim(inputs: Inputs) -> Iterator[str]:
    """On a cluster, only the api of the rooms' unit has that volume.

    Fix: Remove the mount of the volume rooms-data.
    """
    pod, has_rooms = pod_of(inputs), labels_of(inputs).get(SERVICE_LABEL) == ROOMS_UNIT
    claims = {}
    for volume in pod.sequence("volumes"):
        known = Inputs(volume if isinstance(volume, dict) else {})
        claims[str(known.get("name"))] = str(Inputs(known.mapping("persistentVolumeClaim")).get("claimName"))
    # A StatefulSet's own claim goes before a volume of its name.
    claims[_CLAIM] = _CLAIM
    for container in (it for kind in ("containers", "initContainers") for it in pod.sequence(kind)):
        known = Inputs(container if isinstance(container, dict) else {})
        for mount in known.sequence("volumeMounts"):
            name = str(mount.get("name")) if isinstance(mount, dict) else ""
            if claims.get(name, "").startswith(_CLAIM) and not (has_rooms and known.get("name") == _API):
                yield f"in the container {known.get('name')!r}, the mount {mount!r}"
