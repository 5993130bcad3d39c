"""Logs, kept and searched: Loki."""

import pulumi
import yaml

from infra.service import Config, Health, Mount, Service, ServiceArgs, data_volume
from infra.services.placement import Place, go_memory
from infra.settings import Loki as LokiSettings
from monitoring.loki.config import CONFIG, DATA, PORT, loki_config
from monitoring.prometheus.config import Target

URL = f"http://loki:{PORT}"
TARGET = Target(f"loki:{PORT}")
_MEMORY_MB = 256


class Loki(pulumi.ComponentResource):
    """Loki. It has neither users nor a page, so the edge doesn't lead to it."""

    def __init__(self, place: Place, settings: LokiSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Loki", "loki", None, opts)
        Service(
            "loki",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["/usr/bin/loki"],
                command=[f"-config.file={CONFIG}/loki.yml"],
                # Its image has no shell: the program asks itself. It is a large one to start, hence less often.
                health=Health(["/usr/bin/loki", "-health"], interval_seconds=10),
                memory_mb=_MEMORY_MB,
                cpus=1.0,
                user="10001:10001",
                networks=[place.network],
                environment=go_memory(_MEMORY_MB),
                config=Config(CONFIG, {"loki.yml": yaml.safe_dump(loki_config(settings.retention_hours))}),
                mounts=[Mount(data_volume("loki", place.prefix, self).name, DATA)],
                # The compactor keeps a list of at most 100,000 chunks there while it writes it, and another while it
                # deletes what that one names: 10 MB each.
                tmp_mb=32,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})
