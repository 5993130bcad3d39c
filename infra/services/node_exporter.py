"""Metrics of the host: node_exporter, without the host's namespaces.

It exports only what the kernel shows to every container: processor, memory, pressure, disks and clock are the same
inside as outside. How full a disk is, any file on it tells: Docker puts a file of its own into each container
(/etc/hostname, beside the containers' data), and one file of the host's root disk is mounted. So the exporter needs
neither the host's processes nor its root directory. There are no network collectors: they would show the container's
own interface.
"""

from collections.abc import Sequence

from infra.service import Context, Health, HostPath, Service, ServiceArgs, Target
from infra.settings import PlatformSettings

_ROOT_DISK = HostPath("/etc/os-release", "/host/os-release", "tells how full the root disk is")
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
# What Docker mounts into every container; /etc/hosts and /etc/resolv.conf are on the same disk as /etc/hostname.
_DOCKERS_MOUNTS = "^/(dev|proc|sys|run|etc/hosts|etc/resolv.conf)($|/)"
_DISKS = {_ROOT_DISK.target: "/", "/etc/hostname": "/var/lib/docker"}


def describe(context: Context) -> ServiceArgs:
    return ServiceArgs(
        image="node-exporter",
        entrypoint=["node_exporter"],
        command=[
            "--collector.disable-defaults",
            *(f"--collector.{name}" for name in _COLLECTORS),
            f"--collector.filesystem.mount-points-exclude={_DOCKERS_MOUNTS}",
        ],
        health=Health(["wget", "-q", "-O", "/dev/null", "http://localhost:9100/"]),
        memory_mb=40,
        cpus=0.25,
        user="65534:65534",
        networks=["monitoring"],
        host_paths=_reads(context.settings),
    )


def _reads(_: PlatformSettings) -> Sequence[HostPath]:
    return [_ROOT_DISK]


NODE_EXPORTER = Service(
    "node-exporter",
    describe,
    target=Target(
        "node-exporter:9100",
        # The two disks are called by what they hold.
        relabel=[
            {"source_labels": ["mountpoint"], "regex": path, "target_label": "mountpoint", "replacement": name}
            for path, name in _DISKS.items()
        ],
    ),
    reads=_reads,
)
