"""Networks, volumes, and resources that could start containers past the rules for containers."""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from policies.inputs import STACK_LABEL, Inputs
from policies.rules import rule, unlabelled

_UNIQUE_LOCAL = IPv6Network("fd00::/8")
NETWORK = "docker:index/network:Network"
VOLUME = "docker:index/volume:Volume"
_UNCHECKED = ["a resource that starts containers which the rules of this pack do not check"]


@rule("network-ipv6", resource_type=NETWORK)
def network_ipv6(inputs: Inputs) -> Iterator[str]:
    """IPv6 addresses of containers are unique local ones (fd00::/8); an internal network has no IPv6.

    Fix: Leave `ipv6` out. On a network that is not internal, name a subnet of fd00::/8 in ipamConfigs.
    """
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


@rule("network-labels", resource_type=NETWORK)
def network_labels(inputs: Inputs) -> Iterator[str]:
    """A network's label names its stack: clean-up depends on it.

    Fix: Set the label vps.stack, as a literal.
    """
    return unlabelled(inputs, STACK_LABEL)


@rule("volume-labels", resource_type=VOLUME)
def volume_labels(inputs: Inputs) -> Iterator[str]:
    """A volume's label names its stack: clean-up depends on it.

    Fix: Set the label vps.stack, as a literal.
    """
    return unlabelled(inputs, STACK_LABEL)


@rule("swarm-service", resource_type="docker:index/service:Service")
def swarm_services(_: Inputs) -> Sequence[str]:
    """No container is started through a swarm.

    Fix: Use a docker.Container.
    """
    return _UNCHECKED


@rule("docker-plugin", resource_type="docker:index/plugin:Plugin")
def docker_plugins(_: Inputs) -> Sequence[str]:
    """Docker has no plugins, which run as root on the host.

    Fix: Remove the docker.Plugin.
    """
    return _UNCHECKED
