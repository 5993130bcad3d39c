"""The observability of the platform: every service of it that the settings want, wired to the others."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from infra.config import Secrets
from infra.docker.images import Images
from infra.services import alertmanager, collector, exporters, grafana, jaeger, loki, prometheus
from infra.services.edge import METRICS_PORT, Route, url
from infra.services.placement import Place
from infra.services.sandbox import METRICS_TARGETS
from infra.settings import PlatformSettings
from monitoring.prometheus.config import Target

NAMES = (
    "prometheus",
    "alertmanager",
    "loki",
    "collector",
    "jaeger",
    "node-exporter",
    "blackbox-exporter",
    "grafana",
)
NEED_OUTBOUND = ("alertmanager", "blackbox-exporter")

_ROUTES = {
    "prometheus": prometheus.route,
    "alertmanager": alertmanager.route,
    "jaeger": jaeger.route,
    "grafana": grafana.route,
}
_TARGETS = {
    "prometheus": prometheus.TARGET,
    "alertmanager": alertmanager.TARGET,
    "loki": loki.TARGET,
    "collector": collector.TARGET,
    "jaeger": jaeger.TARGET,
    "node-exporter": exporters.NODE_TARGET,
    "blackbox-exporter": exporters.BLACKBOX_TARGET,
}
_SOURCES = {"prometheus": prometheus.URL, "loki": loki.URL, "jaeger": jaeger.URL}


def routes(settings: PlatformSettings) -> list[Route]:
    """The host names at the edge of those services that have a page."""
    return [route(settings.edge.host(name)) for name, route in _ROUTES.items() if settings.runs(name)]


def otlp_endpoint(settings: PlatformSettings) -> str | None:
    """Where traces go, as a URL of OTLP over HTTP; None where they go nowhere."""
    return jaeger.OTLP_ENDPOINT if settings.runs("jaeger") else None


@dataclass(frozen=True)
class ObservabilityArgs:
    """`network` leads nowhere outside. `outbound_network` does, and is there where one of NEED_OUTBOUND runs.

    `routes` is all that the edge publishes: each is probed.
    """

    settings: PlatformSettings
    secrets: Secrets
    images: Images
    network: pulumi.Input[str]
    outbound_network: pulumi.Input[str] | None
    routes: Sequence[Route]


class Observability(pulumi.ComponentResource):
    """One component for each service that runs."""

    def __init__(self, args: ObservabilityArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("vps:infra:Observability", "observability", None, opts)
        self._args = args
        settings = args.settings
        services = settings.services
        child = pulumi.ResourceOptions(parent=self)
        if settings.runs("prometheus"):
            notified = alertmanager.ADDRESS if settings.runs("alertmanager") else None
            prometheus.Prometheus(self._place("prometheus"), services.prometheus, self._targets(), notified, child)
        if settings.runs("loki"):
            loki.Loki(self._place("loki"), services.loki, child)
        if settings.runs("collector"):
            collector.Collector(self._place("collector"), child)
        if settings.runs("jaeger"):
            jaeger.Jaeger(self._place("jaeger"), services.jaeger, child)
        if settings.runs("node-exporter"):
            exporters.NodeExporter(self._place("node-exporter"), child)
        if args.outbound_network is not None:
            self._outbound(args.outbound_network, child)
        if args.secrets.grafana_password:
            page = url(settings.edge, settings.edge.host("grafana"))
            asked = {name: there for name, there in _SOURCES.items() if settings.runs(name)}
            grafana.Grafana(self._place("grafana"), page, asked, args.secrets.grafana_password, child)
        self.register_outputs({})

    def _outbound(self, network: pulumi.Input[str], child: pulumi.ResourceOptions) -> None:
        settings, secrets = self._args.settings, self._args.secrets
        if settings.runs("alertmanager"):
            wanted = settings.services.alertmanager
            alertmanager.Alertmanager(self._place("alertmanager"), wanted, secrets, network, child)
        if settings.runs("blackbox-exporter"):
            exporters.BlackboxExporter(self._place("blackbox-exporter"), network, child)

    def _place(self, name: str) -> Place:
        return Place(self._args.settings.name, self._args.images.digest(name), self._args.network)

    def _targets(self) -> Mapping[str, Sequence[Target]]:
        settings = self._args.settings
        of_the_core = {"traefik": Target(f"traefik:{METRICS_PORT}"), **METRICS_TARGETS}
        own = {name: target for name, target in _TARGETS.items() if settings.runs(name)}
        probed = self._args.routes if settings.runs("blackbox-exporter") else ()
        single = {name: [target] for name, target in (of_the_core | own).items()}
        return {**single, "probe": exporters.probes(settings.edge, probed)}
