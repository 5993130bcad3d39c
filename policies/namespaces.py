"""What a container shares with its host or with other containers."""

from collections.abc import Iterator

from policies.inputs import Inputs
from policies.rules import Scope, rule

_PROVIDER_DEFAULT = "bridge"  # the provider fills it in, and leaves that network again where another is named
_ENGINE_NETWORKS = ("bridge", "host", "none", "default")
_ABSENT = (None, "")


@rule(
    "container-network-mode",
    cis="5.10",
    description="No container shares its host's or another container's network.",
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
    description="No container is on the engine's default network.",
    fix="Name networks of the stack in networksAdvanced, or set networkMode to 'none'.",
)
def default_bridge(inputs: Inputs) -> Iterator[str]:
    networks = inputs.sequence("networksAdvanced")
    if not networks and inputs.get("networkMode") != "none":
        yield "it names no network, which puts it on the default one"
    for network in networks:
        name = network.get("name") if isinstance(network, dict) else network
        if name in _ENGINE_NETWORKS:
            yield f"networksAdvanced names the engine's own network {name!r}"


@rule(
    "container-pid-mode",
    cis="5.16",
    description="A container sees its own processes only.",
    fix="Leave pidMode out.",
)
def pid_mode(inputs: Inputs) -> Iterator[str]:
    if inputs.get("pidMode") not in _ABSENT:
        yield f"pidMode is {inputs.get('pidMode')!r}"


@rule(
    "container-ipc-mode",
    cis="5.17",
    description="A container shares no memory segments.",
    fix="Leave ipcMode out, or set it to 'private' or 'none'.",
)
def ipc_mode(inputs: Inputs) -> Iterator[str]:
    if inputs.get("ipcMode") not in (*_ABSENT, "private", "none"):
        yield f"ipcMode is {inputs.get('ipcMode')!r}"


@rule(
    "container-userns-mode",
    cis="5.31",
    description="No container opts out of the engine's user namespaces.",
    fix="Leave usernsMode out.",
)
def userns_mode(inputs: Inputs) -> Iterator[str]:
    if inputs.get("usernsMode") not in _ABSENT:
        yield f"usernsMode is {inputs.get('usernsMode')!r}"


@rule(
    "container-cgroup",
    cis="5.25",
    description="A container stays in the control group that the engine made for it.",
    fix="Leave cgroupParent out, and cgroupnsMode too or 'private'.",
)
def cgroup(inputs: Inputs) -> Iterator[str]:
    if inputs.get("cgroupParent") not in _ABSENT:
        yield f"cgroupParent is {inputs.get('cgroupParent')!r}"
    if inputs.get("cgroupnsMode") not in (*_ABSENT, "private"):
        yield f"cgroupnsMode is {inputs.get('cgroupnsMode')!r}"
