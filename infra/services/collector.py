"""Logs, collected: the OpenTelemetry Collector, which reads the engine's and the host's log files."""

import pulumi
import yaml

from infra.service import Config, HostPath, Mount, NoHealth, Service, ServiceArgs, data_volume
from infra.services import loki
from infra.services.placement import Place, go_memory
from monitoring.collector.config import CONFIG, CONTAINERS, HOST_LOGS, METRICS_PORT, STORAGE, collector_config
from monitoring.prometheus.config import Target

TARGET = Target(f"collector:{METRICS_PORT}")
_MEMORY_MB = 128


class Collector(pulumi.ComponentResource):
    """The collector, with its positions and what waits for Loki on a volume. It holds no engine socket."""

    def __init__(self, place: Place, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Collector", "collector", None, opts)
        Service(
            "collector",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["/otelcol-contrib"],
                command=[f"--config={CONFIG}/collector.yml"],
                health=NoHealth("its image holds one program, which can't be asked; Prometheus reaches it or alerts"),
                memory_mb=_MEMORY_MB,
                cpus=0.5,
                # Group 4 is adm, which may read the host's logs where they are a syslog daemon's.
                user="0:4",
                root_reason="the engine's log files belong to root; all capabilities are dropped",
                host_paths=[
                    HostPath("/var/lib/docker/containers", CONTAINERS, "the containers' logs are files of the engine"),
                    HostPath("/var/log", HOST_LOGS, "the host's own logs are there"),
                ],
                networks=[place.network],
                environment=go_memory(_MEMORY_MB),
                config=Config(CONFIG, {"collector.yml": yaml.safe_dump(collector_config(place.prefix, loki.URL))}),
                mounts=[Mount(data_volume("collector", place.prefix, self).name, STORAGE)],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
