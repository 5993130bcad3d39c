"""Who has the rooms' documents."""

from collections.abc import Iterator

from policies.inputs import Inputs
from policies.rules import rule

_API = "api"
_DATA = "-rooms-data"


@rule("rooms-data", running=True)
def data(inputs: Inputs) -> Iterator[str]:
    """Only the api has the volume of the rooms: what visitors have written there.

    Fix: Remove the mount of the volume rooms-data.
    """
    if inputs.service != _API:
        for mount in inputs.sequence("mounts"):
            if isinstance(mount, dict) and str(mount.get("source")).endswith(_DATA):
                yield f"a mount is {mount!r}"
