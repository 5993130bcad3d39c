"""OpenBao, its keeper and the agents: who reaches it, and whose files each one has."""

from collections.abc import Iterator

from policies.inputs import SERVICE_LABEL, Inputs
from policies.rules import rule

_OPENBAO, _KEEPER, _AGENT = "openbao", "keeper", "-agent"


def _service(inputs: Inputs) -> str:
    """By its label. Each unit has files of its own."""
    return str(inputs.labels.get(SERVICE_LABEL, ""))


@rule("openbao-network", running=True)
def network(inputs: Inputs) -> Iterator[str]:
    """OpenBao and the agents are on no network: they share a socket.

    Fix: Leave networksAdvanced out, and set networkMode to 'none'.
    """
    alone = inputs.get("networkMode") == "none" and not inputs.sequence("networksAdvanced")
    if not alone and (_service(inputs) == _OPENBAO or _service(inputs).endswith(_AGENT)):
        yield f"networkMode is {inputs.get('networkMode')!r}, networksAdvanced {inputs.get('networksAdvanced')!r}"


@rule("openbao-mounts", running=True)
def mounts(inputs: Inputs) -> Iterator[str]:
    """OpenBao's socket is for the keeper and the agents, and its data for the backup. A login is for one agent, and the
    files that this one writes are for its service.

    Fix: Remove the mount, or set readOnly to true where the service only reads.
    """
    service = _service(inputs)
    is_agent = service.endswith(_AGENT)
    own = service.removesuffix(_AGENT)
    # By what a volume's name ends in: who may write to it, and who may read it.
    rights = {
        "-openbao-run": (service == _OPENBAO, service == _KEEPER or is_agent),
        "-openbao-data": (service == _OPENBAO, service == "backup"),
        f"-{own}-login": (service == _KEEPER or is_agent, False),
        "-login": (service == _KEEPER, False),
        f"-{own}-files": (is_agent, True),
        "-files": (False, False),
    }
    for mount in inputs.sequence("mounts"):
        source = str(mount.get("source")) if isinstance(mount, dict) else ""
        for end, (writes, reads) in rights.items():
            if source.endswith(end):
                if not writes and not (reads and mount.get("readOnly") is True):
                    yield f"a mount is {mount!r}"
                break
