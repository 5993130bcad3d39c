"""Traces: Jaeger."""

import pulumi
import yaml

from infra.service import Config, Health, Service, ServiceArgs
from infra.services.edge import Route
from infra.services.placement import Place, go_memory
from infra.settings import Jaeger as JaegerSettings
from monitoring.jaeger.config import HEALTH_PORT, METRICS_PORT, OTLP_PORT, QUERY_PORT, jaeger_config
from monitoring.prometheus.config import Target

TARGET = Target(f"jaeger:{METRICS_PORT}")
OTLP_ENDPOINT = f"http://jaeger:{OTLP_PORT}"
URL = f"http://jaeger:{QUERY_PORT}"
_MEMORY_MB = 160
_CONFIG = "/etc/jaeger"


class Jaeger(pulumi.ComponentResource):
    """Jaeger with the latest traces in memory."""

    def __init__(self, place: Place, settings: JaegerSettings, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Jaeger", "jaeger", None, opts)
        Service(
            "jaeger",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["/cmd/jaeger/jaeger-linux"],
                command=[f"--config={_CONFIG}/jaeger.yml"],
                health=Health(["wget", "-q", "-O", "/dev/null", f"http://localhost:{HEALTH_PORT}/status"]),
                memory_mb=_MEMORY_MB,
                cpus=0.5,
                user="10001:10001",
                networks=[place.network],
                environment=go_memory(_MEMORY_MB),
                config=Config(_CONFIG, {"jaeger.yml": yaml.safe_dump(jaeger_config(settings.traces))}),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def route(host: str) -> Route:
    """Jaeger has no users of its own: the edge asks for the password."""
    return Route("jaeger", [host], URL, "password", requests_per_minute=600)
