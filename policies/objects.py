"""Networks, volumes, and resources that could start containers past the rules for containers."""

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
    description="A network is a bridge.",
    fix="Leave `driver` out, or set it to 'bridge'.",
)
def network_driver(inputs: Inputs) -> Iterator[str]:
    if inputs.get("driver") not in (None, "", "bridge"):
        yield f"driver is {inputs.get('driver')!r}"


@rule(
    "network-ipv6",
    resource_type=NETWORK,
    description="IPv6 addresses of containers are unique local ones (fd00::/8); an internal network has no IPv6.",
    fix="Leave `ipv6` out. On a network that is not internal, name a subnet of fd00::/8 in ipamConfigs.",
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
    """The subnet in an element of ipamConfigs; None where there is no valid one."""
    try:
        return ip_network(config["subnet"])
    except (KeyError, TypeError, ValueError):
        return None


@rule(
    "volume-driver",
    cis="5.6",
    resource_type=VOLUME,
    description="A volume is managed by Docker and is not a bind mount of a folder of the host.",
    fix="Leave driverOpts out. Leave `driver` out, or set it to 'local'.",
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
    description="A network's label names its stack: clean-up depends on it.",
    fix=f"Set the label {STACK_LABEL}, as a literal.",
    check=_stack_label,
    resource_type=NETWORK,
)
volume_labels = Rule(
    name="volume-labels",
    description="A volume's label names its stack: clean-up depends on it.",
    fix=f"Set the label {STACK_LABEL}, as a literal.",
    check=_stack_label,
    resource_type=VOLUME,
)


def _refused(_: Inputs) -> Iterator[str]:
    yield "a resource that starts containers which the rules of this pack do not check"


swarm_services = Rule(
    name="swarm-service",
    description="No container is started through a swarm.",
    fix="Use a docker.Container.",
    check=_refused,
    resource_type="docker:index/service:Service",
)
docker_plugins = Rule(
    name="docker-plugin",
    description="Docker has no plugins, which run as root on the host.",
    fix="Remove the docker.Plugin.",
    check=_refused,
    resource_type="docker:index/plugin:Plugin",
)
