"""An emulated VPS on the simulated internet: a fresh machine with its own kernel and systemd."""

import ipaddress
from collections.abc import Sequence

from tests.emulated.machine import SSH_SOURCE, Machine, Plan
from tests.vps import distributions
from tests.vps.network import Namespace
from tools.console.steps import Report
from tools.machine.docker_engine import DockerEngine

_INTERNET = """[Match]
Name=eth0
[Link]
# Nobody advertises a router yet, for which systemd would wait.
RequiredForOnline=no
[Network]
IPv6AcceptRA=yes
{addresses}
[Route]
Destination=0.0.0.0/0
Scope=link
[Route]
Destination=::/0
Metric=100
"""
_CONSOLE = """[Match]
Name=eth1
[Network]
Address=10.0.2.15/24
LinkLocalAddressing=no
IPv6AcceptRA=no
"""
_CONSOLES_SSHD = f"""Match Address {ipaddress.ip_interface(SSH_SOURCE).ip}
    AllowTcpForwarding local
"""
"""The sshd of a prepared host forwards nothing, not even the socket of its Docker. To the console it still does."""


class EmulatedVps(Machine):
    """One VPS. Its second interface, which only this machine reaches, takes the place of a provider's console."""

    def __init__(self, namespace: Namespace, source: DockerEngine, names: Sequence[str], report: Report) -> None:
        self.namespace = namespace
        own = "".join(
            f"[Address]\nAddress={it}/{128 if ':' in it else 32}\nDuplicateAddressDetection=none\n"
            for it in namespace.addresses
        )
        plan = Plan(
            distributions.chosen(),
            packages=(),
            files=(
                ("etc/resolv.conf", ""),
                ("etc/ssh/sshd_config.d/00-console.conf", _CONSOLES_SSHD),
                ("etc/systemd/network/eth0.network", _INTERNET.format(addresses=own)),
                ("etc/systemd/network/eth1.network", _CONSOLE),
            ),
            ssh_port=22,
        )
        super().__init__(source, names, report, plan, namespace)

    def start_rsyslogd(self) -> None:
        """systemd does."""

    def cut_connections(self) -> None:
        """Reset the connections to sshd that come over the internet."""
        self.shell(f"ss --kill --no-header state established src {self.namespace.ipv4}:22")
