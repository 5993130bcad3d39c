"""The firewall of the VPS: an nftables table of its own ahead of Docker's rules; no change of it locks anybody out."""

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
# Where clouds answer whoever asks with the host's own credentials: AWS, Azure, Google and most others at
# 169.254.169.254 (and, for containers, 169.254.170.2), AWS and Google over IPv6, Alibaba, Oracle.
_METADATA4 = ("169.254.0.0/16", "100.100.100.200/32", "192.0.0.192/32")
_METADATA6 = ("fd00:ec2::/32", "fd20:ce::254/128", "fe80::a9fe:a9fe/128")


@dataclass(frozen=True)
class FirewallArgs:
    """Who may come in: to sshd from `ssh_sources`, to `web_ports` (TCP) from `web_sources`; an empty one is nobody."""

    ssh: Ssh
    ssh_sources: Sequence[Network]
    web_ports: Sequence[int]
    web_sources: Sequence[Network]
    rollback_seconds: int


class Firewall(pulumi.ComponentResource):
    """The program on the host that changes rules, and the rules.

    The rules are tried over one connection and kept over another, in one resource: whatever comes between (rules that
    lock us out, a cut, a kill), the host goes back by itself to what held before, and the next `up` tries again. It
    never replaces anything: a change is one transaction of nftables, without an open moment.
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
    """The networks that a setting names. Cloudflare's are data with a date."""
    if choice == "anyone":
        return [ip_network("0.0.0.0/0"), ip_network("::/0")]
    return [*RANGES.ipv4, *RANGES.ipv6]


def ruleset(args: FirewallArgs) -> str:
    """The whole table as one transaction for nftables: the old one goes as the new one comes.

    It looks at packets before their destination is translated, where Docker's published ports are still the ports
    that the sender named, and drops what isn't allowed before Docker's rules see it.
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
        # Neighbours may not use us as their way to the containers.
        fib daddr type unicast counter drop
        icmp type echo-request limit rate 10/second accept
        icmpv6 type echo-request limit rate 10/second accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert }} ip6 hoplimit 255 accept
        icmpv6 type mld-listener-query accept
        # Answers of DHCP come from a server that we had no address to ask from.
        udp sport 67 udp dport 68 accept
        ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
        tcp dport {args.ssh.port} ip saddr @ssh4 accept
        tcp dport {args.ssh.port} ip6 saddr @ssh6 accept
        tcp dport {{ {ports} }} ip saddr @web4 accept
        tcp dport {{ {ports} }} ip6 saddr @web6 accept
        counter drop
    }}
    chain input {{
        # From inside, a container that was taken over would try the host's own services.
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
