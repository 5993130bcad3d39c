"""The custom metrics of the cluster's API server, from Prometheus: prometheus-adapter. Units are scaled by them."""

from infra.cluster import ADAPTER
from infra.service import Config, Context, NoHealth, Service, ServiceArgs, go_memory
from infra.services.prometheus import UNITS_LOAD, URL
from infra.settings import PlatformSettings
from monitoring.files import render

PORT = 6443
_CONFIG = "/etc/adapter"
_MEMORY_MB = 128


def describe(context: Context) -> ServiceArgs:
    """It serves with a certificate that it makes at its start."""
    return ServiceArgs(
        image=ADAPTER,
        entrypoint=["/adapter"],
        command=[
            f"--config={_CONFIG}/adapter.yml",
            f"--prometheus-url={_prometheus(context.settings)}",
            "--metrics-relist-interval=30s",
            f"--secure-port={PORT}",
            "--cert-dir=/tmp/certificates",
        ],
        health=NoHealth("its image holds one program, which can't be asked; the API server says when it is away"),
        memory_mb=_MEMORY_MB,
        cpus=0.25,
        user="65534:65534",
        networks=["monitoring"],
        environment=go_memory(_MEMORY_MB),
        config=Config(_CONFIG, {"adapter.yml": render("prometheus-adapter/adapter.yml", metric=UNITS_LOAD)}),
        tmp_mb=1,
        api_server_reason="it serves a part of the cluster's API, and asks the API server who may read that",
    )


def _prometheus(settings: PlatformSettings) -> str:
    return settings.cluster.operator.url if settings.cluster and settings.cluster.operator else URL


METRICS_ADAPTER = Service(ADAPTER, describe)
