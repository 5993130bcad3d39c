"""Log collection: the OpenTelemetry Collector, which reads the log files of Docker, or of a node's pods, and of the
host.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import yaml

from infra.cluster import NAMESPACES
from infra.service import Config, Context, HostPath, Mount, NoHealth, Service, ServiceArgs, Target, Volume, go_memory
from infra.services.loki import LOKI
from infra.settings import PlatformSettings
from monitoring.files import load

_CONFIG = "/etc/collector"
_MEMORY_MB = 128
_LEVELS = load(Path(__file__).with_name("log_levels.yml"))


def describe(context: Context) -> ServiceArgs:
    """The positions in the files, and what waits for Loki, are on a volume. It has no access to Docker's socket.

    With an empty queue it was seen to use 16 MB, with a queue of 47 MB 78 MB.
    """
    return ServiceArgs(
        image="collector",
        entrypoint=["/otelcol-contrib"],
        command=[f"--config={_CONFIG}/collector.yml"],
        health=NoHealth("its image holds one program, which can't be asked; Prometheus reaches it or alerts"),
        memory_mb=_MEMORY_MB,
        cpus=0.5,
        # Group 4 is adm, which may read the host's logs where they are a syslog daemon's.
        user="0:4",
        root_reason="the containers' log files belong to root; all capabilities are dropped",
        host_paths=_reads(context.settings),
        networks=["monitoring"],
        environment=go_memory(_MEMORY_MB),
        config=Config(_CONFIG, {"collector.yml": _config(context.settings)}),
        mounts=[Mount(Volume("collector-data", copying=None), "/var/lib/collector")],
    )


def _config(settings: PlatformSettings) -> str:
    values = {
        "stack": settings.name,
        "namespaces": ",".join(NAMESPACES),
        "loki": LOKI.source,
        "levels": json.dumps(_LEVELS),
    }
    config = load("collector/collector.yml", **values)
    source = load(f"collector/{'kubernetes' if settings.cluster else 'docker'}.yml", **values)
    receiver = config["receivers"]["file_log/containers"]
    operators = [*source.pop("operators"), *receiver["operators"]]
    config["receivers"]["file_log/containers"] = {**receiver, **source, "operators": operators}
    return yaml.safe_dump(config)


def _reads(settings: PlatformSettings) -> Sequence[HostPath]:
    host = HostPath("/var/log", "/host/log", "the logs of the host are there, and on a cluster those of its pods")
    docker = HostPath("/var/lib/docker/containers", "/host/containers", "the containers' logs are files of Docker")
    return [host] if settings.cluster else [docker, host]


COLLECTOR = Service("collector", describe, target=Target("collector:8888"), reads=_reads)
