"""Figures of what has none of its own: the host, and the platform as a visitor sees it."""

from collections.abc import Sequence

import pulumi
import yaml

from infra.service import Config, Health, HostPath, Service, ServiceArgs
from infra.services import edge
from infra.services.placement import Place
from infra.settings import Edge as EdgeSettings
from monitoring.blackbox.config import PORT as BLACKBOX_PORT
from monitoring.blackbox.config import blackbox_config, module
from monitoring.node_exporter import config as node
from monitoring.prometheus.config import Target

NODE_TARGET = Target(f"node-exporter:{node.PORT}", relabel=node.relabelling())
BLACKBOX_ADDRESS = f"blackbox-exporter:{BLACKBOX_PORT}"
BLACKBOX_TARGET = Target(BLACKBOX_ADDRESS)
_BLACKBOX_CONFIG = "/etc/blackbox"


class NodeExporter(pulumi.ComponentResource):
    """node_exporter, without the host's namespaces."""

    def __init__(self, place: Place, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:NodeExporter", "node-exporter", None, opts)
        Service(
            "node-exporter",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["node_exporter"],
                command=node.arguments(),
                health=_answers(node.PORT),
                memory_mb=40,
                cpus=0.25,
                user="65534:65534",
                networks=[place.network],
                host_paths=[HostPath(node.ROOT_DISK_FILE, node.ROOT_DISK_TARGET, "tells how full the root disk is")],
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


class BlackboxExporter(pulumi.ComponentResource):
    """blackbox_exporter. It reaches outside, so that it asks where visitors ask."""

    def __init__(
        self, place: Place, outbound_network: pulumi.Input[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("vps:infra:BlackboxExporter", "blackbox-exporter", None, opts)
        Service(
            "blackbox-exporter",
            ServiceArgs(
                prefix=place.prefix,
                image=place.image,
                entrypoint=["blackbox_exporter"],
                command=[f"--config.file={_BLACKBOX_CONFIG}/blackbox.yml"],
                health=_answers(BLACKBOX_PORT),
                memory_mb=48,
                cpus=0.25,
                user="65534:65534",
                networks=[place.network, outbound_network],
                config=Config(_BLACKBOX_CONFIG, {"blackbox.yml": yaml.safe_dump(blackbox_config())}),
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({})


def probes(settings: EdgeSettings, routes: Sequence[edge.Route]) -> list[Target]:
    """One probe of each route, by its public URL.

    Without TLS the names are known to this machine alone, so the edge's own container is asked, for that name.
    """
    found = []
    for route in routes:
        host = route.hosts[0]
        outside = edge.url(settings, host) + route.health_path
        where = outside if settings.tls else edge.INSIDE_URL + route.health_path
        kind = module(has_password=route.authentication == "password", tls=settings.tls is not None)
        found.append(
            Target(
                BLACKBOX_ADDRESS,
                "/probe",
                {"module": kind, "target": where, "hostname": host},
                {"route": route.service, "instance": outside},
            )
        )
    return found


def _answers(port: int) -> Health:
    return Health(["wget", "-q", "-O", "/dev/null", f"http://localhost:{port}/"])
