"""TCP ports of this machine: which are free, and which process listens on one."""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path


def free_port() -> int:
    """A TCP port of the loopback address that no process listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(address: IPv4Address | IPv6Address, port: int) -> bool:
    """Whether no process listens there. Docker itself tells whether it may listen and has the address."""
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        socket.create_server((str(address), port), family=family).close()
    except OSError as error:
        return error.errno != errno.EADDRINUSE
    return True


def listening_process(port: int) -> str | None:
    """The name and id of the process that listens on a port; None if this user can't see it."""
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        rows = table.read_text().splitlines()[1:] if table.exists() else []
        for row in rows:
            _, local, _, state, *rest = row.split()
            if state == "0A" and int(local.rpartition(":")[2], 16) == port:
                inodes.add(f"socket:[{rest[5]}]")
    for entry in Path("/proc").glob("[0-9]*/fd/*"):
        try:
            if str(entry.readlink()) in inodes:
                pid = entry.parts[2]
                return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (process {pid})"
        except OSError:  # it has ended, or belongs to another user
            continue
    return None
