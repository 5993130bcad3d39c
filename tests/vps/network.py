"""A simulated internet: network namespaces on one switch."""

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_CLONE_NEWNET = 0x40000000
_INTERFACE = "eth0"


def available() -> str | None:
    """None where network namespaces can be made; otherwise the reason why not."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    name = f"vps-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
    return made.stderr.strip() or None if made.returncode else None


@dataclass(frozen=True)
class Namespace:
    """A host on the switch. Its default route is the link itself, so all hosts are neighbours."""

    name: str
    addresses: tuple[str, ...]

    @property
    def path(self) -> Path:
        return Path("/var/run/netns") / self.name

    @property
    def ipv4(self) -> str:
        return next(address for address in self.addresses if ":" not in address)

    @property
    def ipv6(self) -> str:
        return next(address for address in self.addresses if ":" in address)

    def run(self, *argv: str) -> str:
        """Run a program of this machine in the network namespace. Returns its stdout."""
        return _run("nsenter", f"--net={self.path}", *argv)

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Move this thread, and processes that it starts, into the network namespace."""
        with Path("/proc/thread-self/ns/net").open() as own, self.path.open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(own.fileno())


class Network:
    """A switch in its own namespace. `close` removes it and all hosts."""

    def __init__(self, name: str) -> None:
        self._hosts: list[Namespace] = []
        self._switch = Namespace(f"{name}-switch", ())
        self._name = name
        _run("ip", "netns", "add", self._switch.name)
        self._switch.run("ip", "link", "add", "switch", "type", "bridge", "forward_delay", "0", "mcast_snooping", "0")
        self._switch.run("ip", "link", "set", "switch", "up")

    def host(self, name: str, *addresses: str) -> Namespace:
        """A new host with these IPv4 and IPv6 addresses."""
        host = Namespace(f"{self._name}-{name}", addresses)
        port = f"port{len(self._hosts)}"
        self._hosts.append(host)
        _run("ip", "netns", "add", host.name)
        self._switch.run("ip", "link", "add", port, "type", "veth", "peer", "name", _INTERFACE, "netns", str(host.path))
        self._switch.run("ip", "link", "set", port, "master", "switch", "up")
        host.run("ip", "link", "set", "lo", "up")
        host.run("ip", "link", "set", _INTERFACE, "up")
        for address in addresses:
            host.run("ip", "address", "add", address, "dev", _INTERFACE, *(["nodad"] if ":" in address else []))
        host.run("ip", "-4", "route", "add", "default", "dev", _INTERFACE)
        host.run("ip", "-6", "route", "add", "default", "dev", _INTERFACE)
        return host

    def machine(self, tap: str, *addresses: str) -> Namespace:
        """The switch itself, where the process of a machine with these addresses runs, whose interface is `tap`."""
        self._switch.run("ip", "link", "set", "lo", "up")
        self._switch.run("ip", "tuntap", "add", "dev", tap, "mode", "tap")
        self._switch.run("ip", "link", "set", tap, "master", "switch", "up")
        return Namespace(self._switch.name, addresses)

    def close(self) -> None:
        for namespace in (*self._hosts, self._switch):
            with contextlib.suppress(subprocess.CalledProcessError):
                _run("ip", "netns", "delete", namespace.name)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def _run(*argv: str) -> str:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
    return done.stdout
