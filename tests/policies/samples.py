"""Resources that pass every policy. A test changes one property of them."""

from typing import Any

from app.executor.seccomp import for_executor
from app.profile import FLOOR
from policies.exemptions import PRIVILEGES, READABLE_PATHS
from policies.objects import NETWORK, VOLUME
from policies.rules import CONTAINER
from tests.policies.support import Resource

ID = "sha256:" + "0" * 64
IMAGE = "docker:index/remoteImage:RemoteImage"


def labels(service: str) -> list[dict[str, str]]:
    return [{"label": "vps.stack", "value": "vps-test"}, {"label": "vps.service", "value": service}]


def _container(service: str, inputs: dict[str, Any], changes: dict[str, Any]) -> Resource:
    merged = {**inputs, "labels": labels(service), **changes}
    return Resource(CONTAINER, service, {name: value for name, value in merged.items() if value is not None})


def container(service: str = "api", **changes: Any) -> Resource:
    """The container of a service, with the provider's defaults. A property that is set to None is left out."""
    inputs = {
        "image": ID,
        "name": f"vps-test-{service}",
        "start": True,
        "mustRun": True,
        "user": "65532:65532",
        "readOnly": True,
        "capabilities": {"drops": ["ALL"]},
        "securityOpts": ["no-new-privileges:true"],
        "memory": 256.0,
        "memorySwap": 256.0,
        "cpus": "0.5",
        "ulimits": [
            {"name": "nofile", "soft": 1024.0, "hard": 1024.0},
            {"name": "nproc", "soft": 256.0, "hard": 256.0},
        ],
        "restart": "unless-stopped",
        "logDriver": "json-file",
        "logOpts": {"max-size": "10m", "max-file": "3"},
        "healthcheck": {"tests": ["CMD", "check"], "interval": "5s"},
        "networkMode": "bridge",
        "networksAdvanced": [{"name": "vps-test-edge", "aliases": [service]}],
        "mounts": [
            {"type": "volume", "source": "vps-test-data", "target": "/data", "readOnly": True},
            {"type": "tmpfs", "target": "/tmp", "tmpfsOptions": {"sizeBytes": 1048576.0}},
        ],
        "envs": ["LEVEL=info", "TOKEN_FILE=/run/config/token"],
    }
    return _container(service, inputs, changes)


def edge(**changes: Any) -> Resource:
    ports = [{"internal": 8000.0, "external": 8000.0, "ip": "127.0.0.1", "protocol": "tcp"}]
    return container("traefik", **{"ports": ports, **changes})


def executor(profile: str | None = None, **changes: Any) -> Resource:
    inputs = {
        "entrypoints": ["env", "--block-signal=TERM,INT,CHLD", "python", "-m", "app.executor.launcher"],
        "user": "0:0",
        "capabilities": {"drops": ["ALL"], "adds": sorted(PRIVILEGES["executor"].capabilities)},
        "securityOpts": ["no-new-privileges:true", f"seccomp={for_executor()}", "apparmor=vps-executor"],
        "networkMode": "none",
        "networksAdvanced": None,
        "memory": 1280.0,
        "memorySwap": 1280.0,
        "envs": [f"EXECUTOR_PROFILE={profile or FLOOR.model_dump_json()}", "EXECUTOR_RUNTIME=crun"],
    }
    return container("executor", **{**inputs, **changes})


def packages(**changes: Any) -> Resource:
    mounts = [
        {"type": "volume", "source": "vps-test-packages-store", "target": "/var/lib/packages"},
        {"type": "volume", "source": "vps-test-packages-run", "target": "/run/packages"},
        {"type": "tmpfs", "target": "/tmp", "tmpfsOptions": {"sizeBytes": 1048576.0}},
    ]
    networks = [{"name": "vps-test-outbound", "aliases": ["packages"]}]
    return container("packages", **{"mounts": mounts, "networksAdvanced": networks, **changes})


def agent(**changes: Any) -> Resource:
    mounts = [
        {"type": "volume", "source": "vps-test-openbao-run", "target": "/run/openbao", "readOnly": True},
        {"type": "volume", "source": "vps-test-traefik-login", "target": "/login"},
        {"type": "volume", "source": "vps-test-traefik-files", "target": "/run/secrets"},
    ]
    inputs = {"mounts": mounts, "networkMode": "none", "networksAdvanced": None}
    return container("traefik-agent", **{**inputs, **changes})


def backup(**changes: Any) -> Resource:
    inputs = {
        "user": "0:0",
        "capabilities": {"drops": ["ALL"], "adds": sorted(PRIVILEGES["backup"].capabilities)},
        "mounts": [
            {"type": "volume", "source": "vps-test-loki-data", "target": "/data/loki-data", "readOnly": True},
            {"type": "volume", "source": "vps-test-rooms-data", "target": "/data/rooms-data", "readOnly": True},
            {"type": "volume", "source": "vps-test-backup-scratch", "target": "/scratch"},
            {"type": "volume", "source": "vps-test-backup-repository", "target": "/repository"},
            {"type": "tmpfs", "target": "/tmp", "tmpfsOptions": {"sizeBytes": 1048576.0}},
        ],
    }
    return container("backup", **{**inputs, **changes})


def portainer(**changes: Any) -> Resource:
    mounts = [{"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"}]
    return container("portainer", **{"user": "0:0", "mounts": mounts, **changes})


def collector(**changes: Any) -> Resource:
    inputs = {"user": "0:4", "mounts": host_reads("collector"), "healthcheck": None}
    return container("collector", **{**inputs, **changes})


def container_exporter(**changes: Any) -> Resource:
    return container("container-exporter", **{"user": "0:0", "mounts": host_reads("container-exporter"), **changes})


def host_reads(service: str) -> list[dict[str, Any]]:
    """A mount for each path of the host that the service may read."""
    return [
        {"type": "bind", "source": path, "target": f"/host{path}", "readOnly": True}
        for reader, path in READABLE_PATHS
        if reader == service
    ]


def loader(**changes: Any) -> Resource:
    """A container that is never started, without limits."""
    inputs = {
        "image": ID,
        "start": False,
        "mustRun": False,
        "restart": "no",
        "networkMode": "bridge",
        "mounts": [{"type": "volume", "source": "vps-test-config", "target": "/config"}],
        "uploads": [{"file": "/config/a.yaml", "content": "a: 1"}],
    }
    return _container("prometheus", inputs, changes)


def network(**changes: Any) -> Resource:
    return Resource(NETWORK, "edge", {"name": "vps-test-edge", "internal": True, "labels": labels("")[:1], **changes})


def volume(**changes: Any) -> Resource:
    return Resource(VOLUME, "data", {"name": "vps-test-data", "labels": labels("")[:1], **changes})


def image(name: str) -> Resource:
    return Resource(IMAGE, "image", {"name": name, "keepLocally": True})


def stack() -> list[Resource]:
    """A whole stack that passes every policy."""
    return [
        edge(),
        container("api"),
        executor(),
        packages(),
        agent(),
        backup(),
        portainer(),
        collector(),
        container("node-exporter", mounts=host_reads("node-exporter")),
        container_exporter(),
        loader(),
        network(),
        volume(),
        image("traefik:v3.7.15"),
    ]
