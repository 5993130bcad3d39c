"""Namespaces and control groups: what a container shares with the host and with other containers."""

from collections.abc import Iterator

from policies.inputs import Inputs
from policies.rules import other_than, rule

_PROVIDER_DEFAULT = "bridge"  # the provider sets it, and disconnects that network where networksAdvanced names others
_DOCKER_NETWORKS = ("bridge", "host", "none", "default")


@rule("container-network-mode", cis="5.10")
def network_mode(inputs: Inputs) -> Iterator[str]:
    """No container shares the network of the host or of another container.

    Fix: Leave networkMode out and name networks of the stack in networksAdvanced, or set it to 'none'.
    """
    return other_than(inputs, networkMode=("", "none", _PROVIDER_DEFAULT))


@rule("container-default-bridge", cis="5.30", running=True)
def default_bridge(inputs: Inputs) -> Iterator[str]:
    """No container is on Docker's default network.

    Fix: Name networks of the stack in networksAdvanced, or set networkMode to 'none'.
    """
    networks = inputs.sequence("networksAdvanced")
    if not networks and inputs.get("networkMode") != "none":
        yield "no network is named, so the container is on Docker's default network"
    for network in networks:
        name = network.get("name") if isinstance(network, dict) else network
        if name in _DOCKER_NETWORKS:
            yield f"networksAdvanced names Docker's own network {name!r}"


@rule("container-pid-mode", cis="5.16")
def pid_mode(inputs: Inputs) -> Iterator[str]:
    """A container sees only its own processes.

    Fix: Leave pidMode out.
    """
    return other_than(inputs, pidMode=("",))


@rule("container-ipc-mode", cis="5.17")
def ipc_mode(inputs: Inputs) -> Iterator[str]:
    """A container shares no memory segments with others.

    Fix: Leave ipcMode out, or set it to 'private' or 'none'.
    """
    return other_than(inputs, ipcMode=("", "private", "none"))


@rule("container-userns-mode", cis="5.31")
def userns_mode(inputs: Inputs) -> Iterator[str]:
    """No container opts out of Docker's user namespaces.

    Fix: Leave usernsMode out.
    """
    return other_than(inputs, usernsMode=("",))


@rule("container-cgroup", cis="5.25")
def cgroup(inputs: Inputs) -> Iterator[str]:
    """A container stays in the control group that Docker made for it.

    Fix: Leave cgroupParent out. Leave cgroupnsMode out, or set it to 'private'.
    """
    return other_than(inputs, cgroupParent=("",), cgroupnsMode=("", "private"))
