"""The backup service: it reads all data, and writes to none of it."""

from collections.abc import Iterator

from policies.inputs import Inputs
from policies.rules import rule

_WRITABLE = ("-backup-scratch", "-backup-repository")


@rule("backup-mounts", running=True)
def mounts(inputs: Inputs) -> Iterator[str]:
    """The backup service writes to its scratch files and its repository alone.

    Fix: Set readOnly to true for the mounts of all other volumes.
    """
    if inputs.service == "backup":
        for mount in inputs.sequence("mounts"):
            own = isinstance(mount, dict) and (
                mount.get("type") == "tmpfs" or str(mount.get("source")).endswith(_WRITABLE)
            )
            if not own and not (isinstance(mount, dict) and mount.get("readOnly") is True):
                yield f"a mount is {mount!r}"
