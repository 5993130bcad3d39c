"""Log collection: the OpenTelemetry Collector, which reads the log files of Docker and of the host."""

import json
from pathlib import Path

from infra.service import Config, Context, HostPath, Mount, NoHealth, Service, ServiceArgs, Target, Volume, go_memory
from infra.services.loki import LOKI
from monitoring.files import load, render

_CONFIG = "/etc/collector"
_MEMORY_MB = 128
_LEVELS = load(Path(__file__).with_name("log_levels.yml"))


def describe(context: Context) -> ServiceArgs:
    """The positions in the files, and what waits for Loki, are on a volume. It has no access to Docker's socket.

    With an empty queue it was seen to use 16 MB, with a queue of 47 MB 78 MB.
    """
    values = {"stack": context.settings.name, "loki": LOKI.source, "levels": json.dumps(_LEVELS)}
    return ServiceArgs(
        image="collector",
        entrypoint=["/otelcol-contrib"],
        command=[f"--config={_CONFIG}/collector.yml"],
        health=NoHealth("its image holds one program, which can't be asked; Prometheus reaches it or alerts"),
        memory_mb=_MEMORY_MB,
        cpus=0.5,
        # Group 4 is adm, which may read the host's logs where they are a syslog daemon's.
        user="0:4",
        root_reason="Docker's log files belong to root; all capabilities are dropped",
        host_paths=[
            HostPath("/var/lib/docker/containers", "/host/containers", "the containers' logs are files of Docker"),
            HostPath("/var/log", "/host/log", "the host's own logs are there"),
        ],
        networks=["monitoring"],
        environment=go_memory(_MEMORY_MB),
        config=Config(_CONFIG, {"collector.yml": render("collector/collector.yml", **values)}),
        mounts=[Mount(Volume("collector-data"), "/var/lib/collector")],
    )


COLLECTOR = Service("collector", describe, target=Target("collector:8888"))
