"""The firewall of the VPS: an nftables table that runs before Docker's rules. No change can lock the operator out."""

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from string import Template
from typing import Literal

import pulumi
import pulumi_command as command

from infra.cloudflare import RANGES
from infra.host import ssh
from infra.settings import Host

Network = IPv4Network | IPv6Network

_PROGRAM = "/usr/local/lib/vps/firewall"


class Firewall(pulumi.ComponentResource):
    """The program on the host that changes the rules, and the rules.

    One resource loads the rules over a first connection and confirms them over a second. If the second fails (the rules
    lock us out, the network breaks, Pulumi is killed), the host restores the previous rules by itself, and the next
    `up` tries again. A change is one nftables transaction, so there is no moment without rules.
    """

    def __init__(self, host: Host, web_ports: Sequence[int], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Firewall", "firewall", None, opts)
        settings = host.firewall
        text = (Path(__file__).parent / "scripts" / "firewall.sh").read_text()
        program = ssh.script("firewall-program", host.ssh, text, opts=pulumi.ResourceOptions(parent=self))
        attempt = ssh.login(host.ssh, _PROGRAM, "try", str(settings.rollback_seconds))
        confirm = ssh.login(host.ssh, _PROGRAM, "keep")
        command.local.Command(
            "firewall-rules",
            create=f"{attempt} && {confirm} </dev/null",
            delete=ssh.login(host.ssh, _PROGRAM, "remove"),
            stdin=ruleset(host.ssh.port, settings.ssh_sources, web_ports, web_sources(settings.web_sources)),
            opts=pulumi.ResourceOptions(parent=self, depends_on=[program]),
        )
        self.register_outputs({})


def web_sources(choice: Literal["cloudflare", "anyone"]) -> list[Network]:
    """The networks behind the setting `host.firewall.web_sources`."""
    if choice == "anyone":
        return [ip_network("0.0.0.0/0"), ip_network("::/0")]
    return [*RANGES.ipv4, *RANGES.ipv6]


def ruleset(
    ssh_port: int, ssh_sources: Sequence[Network], web_ports: Sequence[int], web_sources: Sequence[Network]
) -> str:
    """The table as one nftables transaction, which replaces the old table.

    `ssh_sources` may reach the port of sshd, `web_sources` the TCP ports `web_ports`. An empty list admits nobody.

    It filters before destination NAT, where the port of a packet is still the published one, and drops what is not
    allowed before Docker's rules see it. The metadata services in it give the host's credentials to any client on it.
    IPv4: 169.254.169.254 (AWS, Azure, Google and most others), 169.254.170.2 (AWS, for containers), Alibaba, Oracle.
    IPv6: AWS, Google, and the link-local one.
    """
    allowed = {"ssh": ssh_sources, "web": web_sources}
    return Template((Path(__file__).parent / "rules.nft").read_text()).substitute(
        {f"{name}{version}": _elements(networks, version) for name, networks in allowed.items() for version in (4, 6)},
        ssh_port=ssh_port,
        web_ports=", ".join(map(str, sorted(web_ports))),
    )


def _elements(networks: Sequence[Network], version: int) -> str:
    """The elements of a set: the networks of one family. A set without any has no list."""
    found = ", ".join(str(network) for network in networks if network.version == version)
    return f" elements = {{ {found} }};" if found else ""
