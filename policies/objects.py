"""Networks, volumes, and the doors around the rules for containers."""

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from policies.inputs import STACK_LABEL, Inputs
from policies.rules import Rule, rule

_UNIQUE_LOCAL = IPv6Network("fd00::/8")
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"


@rule(
    "network-driver",
    cis="5.10",
    resource_type=NETWORK,
    description="A network of the stack is a bridge of its own.",
    fix="Leave `driver` out, or set it to 'bridge'.",
)
def network_driver(inputs: Inputs) -> Iterator[str]:
    if inputs.get("driver") not in (None, "", "bridge"):
        yield f"driver is {inputs.get('driver')!r}"


@rule(
    "network-ipv6",
    resource_type=NETWORK,
    description="The internet has no route to a container's own address of IPv6, and an internal network has none.",
    fix="Leave `ipv6` out; for a network with a way out, name a subnet of fd00::/8 in ipamConfigs.",
)
def network_ipv6(inputs: Inputs) -> Iterator[str]:
    if inputs.get("ipv6") in (None, False):
        return
    if inputs.get("ipv6") is not True or inputs.get("internal") not in (None, False):
        yield f"ipv6 is {inputs.get('ipv6')!r}, and internal is {inputs.get('internal')!r}"
    subnets = [_subnet(config) for config in inputs.sequence("ipamConfigs")]
    others = [subnet for subnet in subnets if not isinstance(subnet, IPv4Network)]
    if not others or not all(subnet and subnet.subnet_of(_UNIQUE_LOCAL) for subnet in others):
        yield f"ipamConfigs is {inputs.get('ipamConfigs')!r}"


def _subnet(config: Any) -> IPv4Network | IPv6Network | None:
    """The subnet in an element of ipamConfigs; None where it can't be read."""
    try:
        return ip_network(config["subnet"])
    except (KeyError, TypeError, ValueError):
        return None


@rule(
    "volume-driver",
    cis="5.6",
    resource_type=VOLUME,
    description="A volume is kept by the engine and is no folder of the host under another name.",
    fix="Leave driverOpts out, and `driver` too or 'local'.",
)
def volume_driver(inputs: Inputs) -> Iterator[str]:
    if inputs.get("driver") not in (None, "", "local"):
        yield f"driver is {inputs.get('driver')!r}"
    if inputs.get("driverOpts"):
        yield f"driverOpts is {inputs.get('driverOpts')!r}"


def _stack_label(inputs: Inputs) -> Iterator[str]:
    value = inputs.labels.get(STACK_LABEL)
    if not isinstance(value, str) or not value:
        yield f"the label {STACK_LABEL} is {value!r}"


network_labels = Rule(
    name="network-labels",
    description="A network says which stack it belongs to: clean-up goes by that.",
    fix=f"Set the label {STACK_LABEL}, as a literal.",
    check=_stack_label,
    resource_type=NETWORK,
)
volume_labels = Rule(
    name="volume-labels",
    description="A volume says which stack it belongs to: clean-up goes by that.",
    fix=f"Set the label {STACK_LABEL}, as a literal.",
    check=_stack_label,
    resource_type=VOLUME,
)


def _refused(_: Inputs) -> Iterator[str]:
    yield "a resource that starts containers which no rule of this pack judges"


swarm_services = Rule(
    name="swarm-service",
    description="No container is started by way of a swarm.",
    fix="Make it a docker.Container.",
    check=_refused,
    resource_type="docker:index/service:Service",
)
engine_plugins = Rule(
    name="engine-plugin",
    description="The engine isn't extended by plugins, which run as root beside it.",
    fix="Remove the docker.Plugin.",
    check=_refused,
    resource_type="docker:index/plugin:Plugin",
)
