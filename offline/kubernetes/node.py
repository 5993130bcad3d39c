"""PID 1 of a node, in namespaces of its own: `python -m offline.kubernetes.node STATE NUMBER NODES`.

It prepares the node's mounts and network, starts its programs, and starts each again that ends. With this process the
whole node ends: its pods, mounts and interfaces with it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from offline.kubernetes import configuration, layout
from offline.kubernetes.layout import Node

CGROUPS = Path("/sys/fs/cgroup")
UPLINK = "eth0"
BRIDGE = "nodes"
_SECONDS_TO_CONNECT = 10
_POLICIES = f"""
table ip policies {{
  set known {{ type ipv4_addr; }}
  chain forward {{
    type filter hook forward priority filter - 1;
    ct state established,related accept
    iifname "{layout.PODS_BRIDGE}" ip saddr != @known drop
    oifname "{layout.PODS_BRIDGE}" ip daddr != @known drop
  }}
  chain input {{
    type filter hook input priority filter - 1;
    ct state established,related accept
    iifname "{layout.PODS_BRIDGE}" ip saddr != @known drop
  }}
}}
table bridge policies {{
  chain prerouting {{
    type filter hook prerouting priority filter;
    ether type ip6 drop
  }}
}}
"""
"""What a pod sends or gets is dropped until `netpol` knows the pod. No policy would hold the link-local addresses of
IPv6, which every interface has."""
_QUEUED = ("--match", "conntrack", "--ctstate", "NEW", "--jump", "NFQUEUE", "--queue-num", "100")
"""The first packet of a connection waits for the verdict of `netpol`. nftables asks for a module that not every kernel
has; iptables has another."""
_RESTART_SECONDS = 1
KERNEL_SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "vm/overcommit_memory": "1",
        "vm/panic_on_oom": "0",
        "kernel/panic": "10",
        "kernel/panic_on_oops": "1",
        "kernel/keys/root_maxkeys": "1000000",
        "kernel/keys/root_maxbytes": "25000000",
    }
)
"""The host's settings that the kubelet demands. It sees files with these values, and so changes nothing."""


def main() -> None:
    """Never returns."""
    state, number, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    node = Node(number, state)
    others = [Node(it, state) for it in range(1, count + 1) if it != number]
    _mount(node)
    _name(node)
    _connect(node, others)
    _guard()
    configuration.write(node)
    _supervise(node, configuration.commands(node))


def _mount(node: Node) -> None:
    """Give the node its own /run, /var/lib and /var/log, and keep the host's kernel settings from it."""
    _run("mount", "-t", "tmpfs", "-o", "mode=755", "run", "/run")
    for place in ("/var/lib", "/var/log"):
        own = node.folder / place.lstrip("/")
        own.mkdir(parents=True, exist_ok=True)
        _run("mount", "--bind", str(own), place)
    for number in range(1, layout.VOLUMES + 1):
        Path(layout.VOLUMES_FOLDER, str(number)).mkdir(parents=True, exist_ok=True)
    values = Path("/run/kernel-settings")
    for name, value in KERNEL_SETTINGS.items():
        file = values / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{value}\n")
        _run("mount", "--bind", str(file), f"/proc/sys/{name}")
    # With version 1 of control groups, the container runtime must not find the empty hierarchy of version 2 beside it.
    if (CGROUPS / "unified").is_dir():
        _run("umount", str(CGROUPS / "unified"))


def _name(node: Node) -> None:
    Path("/proc/sys/kernel/hostname").write_text(node.name)


def _connect(node: Node, others: Iterable[Node]) -> None:
    """Configure the interface that the host puts into this namespace, and routes to the other nodes' pods.

    The other nodes are connected to a bridge of the first one, so that this machine has one interface more and no
    bridge, whose packets would go through its own firewall.
    """
    until = time.monotonic() + _SECONDS_TO_CONNECT
    while not Path(f"/proc/sys/net/ipv4/conf/{UPLINK}").exists():
        if time.monotonic() > until:
            sys.exit(f"{node.name} was not connected within {_SECONDS_TO_CONNECT} s")
        time.sleep(0.01)
    _run("ip", "link", "set", "lo", "up")
    _run("ip", "link", "set", UPLINK, "up")
    own = UPLINK
    if node.leads:
        own = BRIDGE
        _run("ip", "link", "add", BRIDGE, "type", "bridge")
        _run("ip", "link", "set", UPLINK, "master", BRIDGE)
        _run("ip", "link", "set", BRIDGE, "up")
    _run("ip", "address", "add", f"{node.address}/{layout.NODE_NETWORK_BITS}", "dev", own)
    _run("ip", "route", "add", "default", "via", layout.HOST_ADDRESS)
    for other in others:
        _run("ip", "route", "add", other.pods, "via", other.address)
    for name in ("ipv4/ip_forward", "bridge/bridge-nf-call-iptables"):
        Path("/proc/sys/net", name).write_text("1")


def _guard() -> None:
    """Let no packet of a pod pass, neither to other pods nor to the node, unless the NetworkPolicies allow it."""
    subprocess.run(["nft", "--file", "-"], input=_POLICIES, check=True, text=True)
    _run("iptables", "--append", "FORWARD", *_QUEUED)
    _run("iptables", "--append", "INPUT", "--in-interface", layout.PODS_BRIDGE, *_QUEUED)


def _supervise(node: Node, commands: Mapping[str, Sequence[str]]) -> None:
    """Run the programs until this process is told to stop. It inherits every process whose parent has ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    node.log.mkdir(parents=True, exist_ok=True)
    running = {_start(node, name, command): name for name, command in commands.items()}
    while True:
        ended, _ = os.wait()
        if name := running.pop(ended, None):
            time.sleep(_RESTART_SECONDS)
            running[_start(node, name, commands[name])] = name


def _start(node: Node, name: str, command: Sequence[str]) -> int:
    log = (os.POSIX_SPAWN_OPEN, 1, str(node.log / f"{name}.log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
    actions = [nothing, log, (os.POSIX_SPAWN_DUP2, 1, 2)]
    return os.posix_spawnp(command[0], list(command), os.environ, file_actions=actions, setsid=True)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
