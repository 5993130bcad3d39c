"""Metrics of the services' containers: a process of our own image, without access to Docker or to a cluster's API.

Other exporters were compared: cAdvisor and the collector's receiver for Docker take names and labels from Docker's
socket, and exporters of control groups know no names. Without Docker's socket and the host's process namespace two
figures are not to be had: a container's network traffic, and the result of its health check.
"""

from collections.abc import Sequence

from app.containers.settings import ContainersSettings
from infra.cluster import NAMESPACES
from infra.service import Context, Health, HostPath, Service, ServiceArgs, Target
from infra.services.healthcheck import HEALTHCHECK
from infra.settings import PlatformSettings

_DOCKERS = HostPath(
    "/var/lib/docker/containers", "/host/containers", "Docker keeps names and restarts of containers there"
)
_KUBELETS = HostPath("/var/log/containers", "/host/containers", "a kubelet tells their names and restarts there")
_WHY = "the kernel's counters of each container are there"
_CGROUPS = {
    # One mount a hierarchy: what lies below a mounted path is writable before Docker 25, even if the path isn't.
    1: [HostPath(f"/sys/fs/cgroup/{name}", f"/host/cgroup/{name}", _WHY) for name in ("cpuacct", "memory", "pids")],
    2: [HostPath("/sys/fs/cgroup", "/host/cgroup", _WHY)],
}
_PORT = 9400


def describe(context: Context) -> ServiceArgs:
    """Its health check is a scrape, which fails when the host's files can't be read. Everybody may read a kubelet's."""
    on_cluster = context.settings.cluster is not None
    return ServiceArgs(
        image="app",
        entrypoint=["python", "-m", "app.containers"],
        health=Health([*HEALTHCHECK, f"http://127.0.0.1:{_PORT}/metrics"]),
        memory_mb=64,
        cpus=0.25,
        user="65532:65532" if on_cluster else "0:0",
        root_reason=None if on_cluster else "Docker's files belong to root; all capabilities are dropped",
        networks=["monitoring"],
        environment=exporter_settings(context.settings).variables(),
        host_paths=_reads(context.settings),
    )


def _reads(settings: PlatformSettings) -> Sequence[HostPath]:
    return [_KUBELETS if settings.cluster else _DOCKERS, *_CGROUPS[settings.engine.cgroup_version]]


def exporter_settings(settings: PlatformSettings) -> ContainersSettings:
    """What the exporter reads at its start."""
    return ContainersSettings(
        stack=settings.name,
        cgroup_version=settings.engine.cgroup_version,
        namespaces=tuple(f"{settings.name}-{it}" for it in NAMESPACES) if settings.cluster else (),
        port=_PORT,
    )


CONTAINER_EXPORTER = Service("container-exporter", describe, target=Target(f"container-exporter:{_PORT}"), reads=_reads)
