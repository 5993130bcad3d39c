"""Namespaces and control groups: what a container shares with the host and with other containers."""

from collections.abc import Iterator

from policies.inputs import Inputs
from policies.rules import Scope, rule

_PROVIDER_DEFAULT = "bridge"  # the provider sets it, and disconnects that network where networksAdvanced names others
_DOCKER_NETWORKS = ("bridge", "host", "none", "default")
_ABSENT = (None, "")


@rule(
    "container-network-mode",
    cis="5.10",
    description="No container shares the network of the host or of another container.",
    fix="Leave networkMode out and name networks of the stack in networksAdvanced, or set it to 'none'.",
)
def network_mode(inputs: Inputs) -> Iterator[str]:
    mode = inputs.get("networkMode")
    if mode not in (*_ABSENT, "none", _PROVIDER_DEFAULT):
        yield f"networkMode is {mode!r}"


@rule(
    "container-default-bridge",
    cis="5.30",
    scope=Scope.WITH_PROCESS,
    description="No container is on Docker's default network.",
    fix="Name networks of the stack in networksAdvanced, or set networkMode to 'none'.",
)
def default_bridge(inputs: Inputs) -> Iterator[str]:
    networks = inputs.sequence("networksAdvanced")
    if not networks and inputs.get("networkMode") != "none":
        yield "no network is named, so the container is on Docker's default network"
    for network in networks:
        name = network.get("name") if isinstance(network, dict) else network
        if name in _DOCKER_NETWORKS:
            yield f"networksAdvanced names Docker's own network {name!r}"


@rule(
    "container-pid-mode",
    cis="5.16",
    description="A container sees only its own processes.",
    fix="Leave pidMode out.",
)
def pid_mode(inputs: Inputs) -> Iterator[str]:
    if inputs.get("pidMode") not in _ABSENT:
        yield f"pidMode is {inputs.get('pidMode')!r}"


@rule(
    "container-ipc-mode",
    cis="5.17",
    description="A container shares no memory segments with others.",
    fix="Leave ipcMode out, or set it to 'private' or 'none'.",
)
def ipc_mode(inputs: Inputs) -> Iterator[str]:
    if inputs.get("ipcMode") not in (*_ABSENT, "private", "none"):
        yield f"ipcMode is {inputs.get('ipcMode')!r}"


@rule(
    "container-userns-mode",
    cis="5.31",
    description="No container opts out of Docker's user namespaces.",
    fix="Leave usernsMode out.",
)
def userns_mode(inputs: Inputs) -> Iterator[str]:
    if inputs.get("usernsMode") not in _ABSENT:
        yield f"usernsMode is {inputs.get('usernsMode')!r}"


@rule(
    "container-cgroup",
    cis="5.25",
    description="A container stays in the control group that Docker made for it.",
    fix="Leave cgroupParent out. Leave cgroupnsMode out, or set it to 'private'.",
)
def cgroup(inputs: Inputs) -> Iterator[str]:
    if inputs.get("cgroupParent") not in _ABSENT:
        yield f"cgroupParent is {inputs.get('cgroupParent')!r}"
    if inputs.get("cgroupnsMode") not in (*_ABSENT, "private"):
        yield f"cgroupnsMode is {inputs.get('cgroupnsMode')!r}"
