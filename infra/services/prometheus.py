"""Metrics: Prometheus."""

from collections.abc import Mapping, Sequence

import pulumi
import yaml

from infra.service import Config, Health, Mount, Service, ServiceArgs, data_volume
from infra.services.edge import Route
from infra.services.placement import Place, go_memory
from infra.settings import Prometheus as PrometheusSettings
from monitoring.prometheus.config import RULES, Target, prometheus_config
from monitoring.prometheus.rules import rule_files

PORT = 9090
TARGET = Target(f"localhost:{PORT}")
URL = f"http://prometheus:{PORT}"
_MEMORY_MB = 384
_CONFIG = "/etc/prometheus"
_DATA = "/prometheus"


class Prometheus(pulumi.ComponentResource):
    """Prometheus with its rules, and its data on a volume of its own."""

    def __init__(
        self,
        place: Place,
        settings: PrometheusSettings,
        targets: Mapping[str, Sequence[Target]],
        alertmanager: str | None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("vps:infra:Prometheus", "prometheus", None, opts)
        config = prometheus_config(targets, settings.scrape_seconds, alertmanager)
        rules = {f"{RULES}/{name}": content for name, content in rule_files(settings.runbooks).items()}
        Service(
            "prometheus",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["prometheus"],
                command=[
                    f"--config.file={_CONFIG}/prometheus.yml",
                    f"--storage.tsdb.path={_DATA}",
                    f"--storage.tsdb.retention.time={settings.retention_days}d",
                    "--log.format=json",
                ],
                health=Health(["promtool", "check", "healthy", f"--url=http://localhost:{PORT}"]),
                memory_mb=_MEMORY_MB,
                cpus=1.0,
                user="65534:65534",
                networks=[place.network],
                environment=go_memory(_MEMORY_MB),
                config=Config(_CONFIG, {"prometheus.yml": yaml.safe_dump(config), **rules}),
                mounts=[Mount(data_volume("prometheus", place.prefix, self).name, _DATA)],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def route(host: str) -> Route:
    """Prometheus has no users of its own: the edge asks for the password."""
    return Route("prometheus", [host], URL, "password", requests_per_minute=600)
