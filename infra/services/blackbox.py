"""Probes of the public routes: blackbox_exporter."""

from infra.service import Config, Context, Health, Service, ServiceArgs, Target
from infra.services.edge import INSIDE_URL, hosts, url
from monitoring.files import render

_ADDRESS = "blackbox-exporter:9115"
_CONFIG = "/etc/blackbox"


def describe(context: Context) -> ServiceArgs:
    """It reaches the outbound network, so that it asks where visitors ask."""
    return ServiceArgs(
        image="blackbox-exporter",
        entrypoint=["blackbox_exporter"],
        command=[f"--config.file={_CONFIG}/blackbox.yml"],
        health=Health(["wget", "-q", "-O", "/dev/null", "http://localhost:9115/"]),
        memory_mb=48,
        cpus=0.25,
        user="65534:65534",
        networks=["monitoring", "outbound"],
        config=Config(_CONFIG, {"blackbox.yml": render("blackbox/blackbox.yml")}),
    )


BLACKBOX = Service("blackbox-exporter", describe, target=Target(_ADDRESS))


def probes(context: Context) -> list[Target]:
    """One probe of each route, by its public URL; none where the exporter does not run.

    A password is never sent: that the edge asks for it is the right answer. Without TLS the host names are known to
    this machine alone, so the edge's own container is asked, for that name.
    """
    if BLACKBOX not in context.services:
        return []
    edge, https = context.settings.edge, context.settings.https
    found = []
    for service, route in context.routes.items():
        host = hosts(edge, service)[0]
        outside = url(context.settings, host) + route.health_path
        module = "asks_for_password" if route.authentication == "password" else "answers"
        parameters = {
            "module": f"{module}_over_tls" if https else module,
            "target": outside if https else INSIDE_URL + route.health_path,
            "hostname": host,
        }
        found.append(Target(_ADDRESS, "/probe", parameters, {"route": service, "instance": outside}))
    return found
