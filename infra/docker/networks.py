"""The networks that keep the services apart."""

import hashlib
from collections.abc import Sequence
from ipaddress import IPv6Network
from typing import Any

import pulumi
import pulumi_docker as docker

from infra.service import STACK_LABEL

OUTWARD = ("public", "outbound")
"""Those that lead outside: the edge's, with its ports, and that of services which call out and are called by nobody."""

APART = ("store",)
"""Those that not even the edge is on: the api and the store that it counts in."""


class Networks:
    """The networks of a stack by name, each made when it is first asked for."""

    def __init__(self, prefix: str, public_ipv6: bool, opts: pulumi.ResourceOptions) -> None:
        self._prefix = prefix
        self._public_ipv6 = public_ipv6
        self._opts = opts
        self._made: dict[str, docker.Network] = {}

    def __getitem__(self, name: str) -> docker.Network:
        if name not in self._made:
            self._made[name] = (
                self._ipv6(f"{name}-ipv6") if name == "public" and self._public_ipv6 else self._make(name)
            )
        return self._made[name]

    def subnets(self, name: str) -> pulumi.Output[Sequence[str]]:
        """The subnets that Docker gave a network: none where an `up` leaves it out, as one of `make recover` does."""
        configs = self[name].ipam_configs
        return configs.apply(lambda found: [config.subnet for config in found or () if config.subnet])

    def internal(self) -> list[str]:
        """The names of the networks made so far that lead nowhere outside and that the edge is on."""
        return [name for name in self._made if name not in (*OUTWARD, *APART)]

    def _ipv6(self, name: str) -> docker.Network:
        """The public network with IPv6. Its name differs, so that the edge moves to it before the old one is removed.

        Before version 27, Docker chooses no subnet of IPv6 by itself.
        """
        subnet = docker.NetworkIpamConfigArgs(subnet=str(unique_local(f"{self._prefix}-{name}")))
        # Docker adds the subnet of IPv4 that it chose, which would count as a change on every `up`. Ours only changes
        # with the name, and that replaces the network.
        opts = pulumi.ResourceOptions(ignore_changes=["ipamConfigs"])
        return self._make(name, opts, ipv6=True, ipam_configs=[subnet])

    def _make(self, name: str, opts: pulumi.ResourceOptions | None = None, **more: Any) -> docker.Network:
        return docker.Network(
            f"{name}-network",
            name=f"{self._prefix}-{name}",
            driver="bridge",
            internal=not name.startswith(OUTWARD),
            labels=[docker.NetworkLabelArgs(label=STACK_LABEL, value=self._prefix)],
            opts=pulumi.ResourceOptions.merge(self._opts, opts),
            **more,
        )


def unique_local(network: str) -> IPv6Network:
    """The subnet of IPv6 (a /64 of RFC 4193's unique local addresses) of the network with this name.

    A hash of the name takes the place of the 56 random bits: it is the same on every `up`, and differs between
    networks. No route of the internet leads to it.
    """
    digest = hashlib.sha256(network.encode()).digest()
    return IPv6Network((b"\xfd" + digest[:7] + bytes(8), 64))
