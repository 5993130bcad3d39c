"""The firewall of the VPS: an nftables table that runs before Docker's rules. No change can lock the operator out."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from string import Template
from typing import Literal

import pulumi
import pulumi_command as command

from infra.cloudflare import RANGES
from infra.host import ssh
from infra.settings import Ssh

Network = IPv4Network | IPv6Network

_PROGRAM = "/usr/local/lib/vps/firewall"


@dataclass(frozen=True)
class FirewallArgs:
    """`ssh_sources` may reach sshd, `web_sources` the TCP ports `web_ports`. An empty list admits nobody.

    The host restores the previous rules `rollback_seconds` after a change, unless a new SSH connection confirms it.
    """

    ssh: Ssh
    ssh_sources: Sequence[Network]
    web_ports: Sequence[int]
    web_sources: Sequence[Network]
    rollback_seconds: int


class Firewall(pulumi.ComponentResource):
    """The program on the host that changes the rules, and the rules.

    One resource loads the rules over a first connection and confirms them over a second. If the second fails (the rules
    lock us out, the network breaks, Pulumi is killed), the host restores the previous rules by itself, and the next
    `up` tries again. A change is one nftables transaction, so there is no moment without rules.
    """

    def __init__(self, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Firewall", "firewall", None, opts)
        text = (Path(__file__).parent / "scripts" / "firewall.sh").read_text()
        program = ssh.script("firewall-program", args.ssh, text, opts=pulumi.ResourceOptions(parent=self))
        attempt = ssh.login(args.ssh, _PROGRAM, "try", str(args.rollback_seconds))
        confirm = ssh.login(args.ssh, _PROGRAM, "keep")
        command.local.Command(
            "firewall-rules",
            create=f"{attempt} && {confirm} </dev/null",
            delete=ssh.login(args.ssh, _PROGRAM, "remove"),
            stdin=ruleset(args),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[program]),
        )
        self.register_outputs({})


def web_sources(choice: Literal["cloudflare", "anyone"]) -> list[Network]:
    """The networks behind the setting `host.firewall.web_sources`."""
    if choice == "anyone":
        return [ip_network("0.0.0.0/0"), ip_network("::/0")]
    return [*RANGES.ipv4, *RANGES.ipv6]


def ruleset(args: FirewallArgs) -> str:
    """The table as one nftables transaction, which replaces the old table.

    It filters before destination NAT, where the port of a packet is still the published one, and drops what is not
    allowed before Docker's rules see it. The metadata services in it give the host's credentials to any client on it.
    IPv4: 169.254.169.254 (AWS, Azure, Google and most others), 169.254.170.2 (AWS, for containers), Alibaba, Oracle.
    IPv6: AWS, Google, and the link-local one.
    """
    allowed = {"ssh": args.ssh_sources, "web": args.web_sources}
    return Template((Path(__file__).parent / "rules.nft").read_text()).substitute(
        {f"{name}{version}": _elements(networks, version) for name, networks in allowed.items() for version in (4, 6)},
        ssh_port=args.ssh.port,
        web_ports=", ".join(map(str, sorted(args.web_ports))),
    )


def _elements(networks: Sequence[Network], version: int) -> str:
    """The elements of a set: the networks of one family. A set without any has no list."""
    found = ", ".join(str(network) for network in networks if network.version == version)
    return f" elements = {{ {found} }};" if found else ""
