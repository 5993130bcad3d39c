"""The firewall of the VPS: an nftables table that runs before Docker's rules. No change can lock the operator out."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Literal

import pulumi
import pulumi_command as command

from infra.cloudflare import RANGES
from infra.host import ssh
from infra.settings import Ssh

Network = IPv4Network | IPv6Network

_PROGRAM = "/usr/local/lib/vps/firewall"
# Metadata services, which give the host's credentials to any client on it. IPv4: 169.254.169.254 (AWS, Azure, Google
# and most others), 169.254.170.2 (AWS, for containers), Alibaba, Oracle. IPv6: AWS, Google, and the link-local one.
_METADATA4 = ("169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32")
_METADATA6 = ("fd00:ec2::/32", "fd20:ce::254/128", "fe80::a9fe:a9fe/128")


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
    allowed before Docker's rules see it.
    """
    ports = ", ".join(map(str, sorted(args.web_ports)))
    return f"""\
table inet vps
delete table inet vps
table inet vps {{
{_set("ssh4", "ipv4_addr", _of(4, args.ssh_sources))}
{_set("ssh6", "ipv6_addr", _of(6, args.ssh_sources))}
{_set("web4", "ipv4_addr", _of(4, args.web_sources))}
{_set("web6", "ipv6_addr", _of(6, args.web_sources))}
{_set("metadata4", "ipv4_addr", _METADATA4)}
{_set("metadata6", "ipv6_addr", _METADATA6)}
    chain prerouting {{
        type filter hook prerouting priority mangle; policy drop;
        iifname "lo" accept
        iifname "docker0" goto from_containers
        iifname "br-*" goto from_containers
        goto from_outside
    }}
    chain from_containers {{
        ip daddr @metadata4 counter drop
        ip6 daddr @metadata6 counter drop
        accept
    }}
    chain from_outside {{
        ct state invalid drop
        ct state established,related accept
        # Machines on the host's network must not route packets to containers through the host.
        fib daddr type unicast counter drop
        icmp type echo-request limit rate 10/second accept
        icmpv6 type echo-request limit rate 10/second accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} ip6 hoplimit 255 accept
        icmpv6 type mld-listener-query accept
        # DHCP replies don't match conntrack.
        udp sport 67 udp dport 68 accept
        ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
        tcp dport {args.ssh.port} ip saddr @ssh4 accept
        tcp dport {args.ssh.port} ip6 saddr @ssh6 accept
        tcp dport {{ {ports} }} ip saddr @web4 accept
        tcp dport {{ {ports} }} ip6 saddr @web6 accept
        counter drop
    }}
    chain input {{
        # A compromised container must not reach services on the host.
        type filter hook input priority filter; policy accept;
        ct state established,related accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-solicit }} accept
        iifname "docker0" counter drop
        iifname "br-*" counter drop
    }}
}}
"""


def _of(version: int, networks: Sequence[Network]) -> list[str]:
    return [str(network) for network in networks if network.version == version]


def _set(name: str, kind: str, networks: Sequence[str]) -> str:
    elements = ", ".join(str(ip_network(network)) for network in networks)
    content = f" elements = {{ {elements} }};" if elements else ""
    return f"    set {name} {{ type {kind}; flags interval; auto-merge;{content} }}"
