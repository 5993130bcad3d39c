"""node_exporter with the host's figures only, which the kernel shows to every container.

Processor, memory, pressure, disks and clock are the same inside a container as outside. A disk's fill is that of any
file on it: the engine puts a file of its own into each container (/etc/hostname, beside the containers' data), and one
file of the host's root disk is mounted. So the exporter needs neither the host's processes nor its root directory. Of
the network it would see its own interface, hence no network collectors: the executor counts for each service.
"""

from collections.abc import Mapping, Sequence
from typing import Any

PORT = 9100
ROOT_DISK_FILE = "/etc/os-release"
"""A file of the host that is on its root disk and that everybody may read."""
ROOT_DISK_TARGET = "/host/os-release"
_ENGINE_FILE = "/etc/hostname"
_COLLECTORS = (
    "cpu",
    "diskstats",
    "filefd",
    "filesystem",
    "loadavg",
    "meminfo",
    "pressure",
    "stat",
    "time",
    "timex",
    "uname",
    "vmstat",
)
# What the engine mounts into every container; /etc/hosts and /etc/resolv.conf are on the same disk as /etc/hostname.
_OWN_MOUNTS = "^/(dev|proc|sys|run|etc/hosts|etc/resolv.conf)($|/)"


def arguments() -> list[str]:
    """Its command line."""
    return [
        "--collector.disable-defaults",
        *(f"--collector.{name}" for name in _COLLECTORS),
        f"--collector.filesystem.mount-points-exclude={_OWN_MOUNTS}",
    ]


def relabelling() -> Sequence[Mapping[str, Any]]:
    """Prometheus' relabelling that calls the two disks by what they hold: `/` and `/var/lib/docker`."""
    names = {ROOT_DISK_TARGET: "/", _ENGINE_FILE: "/var/lib/docker"}
    return [
        {"source_labels": ["mountpoint"], "regex": path, "target_label": "mountpoint", "replacement": name}
        for path, name in names.items()
    ]
