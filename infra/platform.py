"""The platform: settings in, services and their URLs out."""

from collections.abc import Mapping

import pulumi
import pulumi_docker as docker

from infra import ssh
from infra.edge import METRICS_PORT, USER, Edge, EdgeArgs, Route, url
from infra.firewall import Firewall, FirewallArgs, web_sources
from infra.host import Host
from infra.images import Images
from infra.management import Portainer, PortainerArgs, portainer_route
from infra.observability import Grafana, GrafanaArgs, Prometheus, PrometheusArgs, grafana_route, prometheus_route
from infra.sandbox import API_PORT, METRICS_TARGETS, Sandbox, SandboxArgs
from infra.service import STACK_LABEL
from infra.settings import SECRET_KEYS, PlatformSettings, Secrets
from monitoring.prometheus.config import Target


class Platform(pulumi.ComponentResource):
    """Everything on one engine.

    Networks keep the services apart: the edge is on each of them, and a service is on the one network that it
    needs. All but the public one lead nowhere outside.
    """

    def __init__(
        self, settings: PlatformSettings, secrets: Secrets, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        provider = _engine(settings)
        super().__init__(
            "vps:infra:Platform",
            "platform",
            None,
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[provider])),
        )
        self._settings = settings
        self._secrets = secrets
        self._child = pulumi.ResourceOptions(parent=self)
        for notice in settings.notices():
            pulumi.log.warn(notice, self)
        optional = [service for service in ("prometheus", "grafana", "portainer") if settings.runs(service)]
        self._images = Images(
            settings,
            ["app", "traefik", *settings.sandbox.images.values(), *optional],
            opts=self._child,
        )
        self._networks = {"public": self._network("public", internal=False)}
        self._routes: list[Route] = []
        self._sandbox()
        if settings.runs("prometheus"):
            self._prometheus()
        if secrets.grafana_password:
            self._grafana(secrets.grafana_password)
        if secrets.portainer_password:
            self._portainer(secrets.portainer_password)
        self._edge()
        self.register_outputs({"urls": self.urls})

    @property
    def urls(self) -> Mapping[str, str]:
        """Where each service is reached from outside, by name."""
        return {route.service: url(self._settings.edge, route.hosts[0]) for route in self._routes}

    @property
    def logins(self) -> Mapping[str, Mapping[str, str]]:
        """The user of each service that asks for one, and the config key that holds the password."""
        keys = {"grafana": SECRET_KEYS["grafana_password"]}
        return {
            route.service: {"user": USER, "secret": keys.get(route.service, SECRET_KEYS["dashboard_password"])}
            for route in self._routes
            if route.authentication == "password" or route.service in keys
        }

    def _sandbox(self) -> None:
        network = self._internal("api")
        monitoring = [self._internal("monitoring").name] if self._settings.runs("prometheus") else []
        Sandbox(
            SandboxArgs(
                prefix=self._settings.name,
                image=self._images.digest("app"),
                environments={
                    environment: self._images.digest(name)
                    for environment, name in self._settings.sandbox.images.items()
                },
                settings=self._settings.sandbox,
                engine_socket=self._settings.engine.socket,
                networks=[network.name, *monitoring],
                # Only the edge and the api are on this network: whoever speaks to the api there is the edge.
                proxies=network.ipam_configs.apply(lambda configs: ",".join(c.subnet for c in configs if c.subnet)),
            ),
            opts=self._child,
        )
        hosts = self._settings.edge.api_hosts
        self._routes.append(Route("api", hosts, f"http://api:{API_PORT}", "none", requests_per_minute=600))

    def _prometheus(self) -> None:
        Prometheus(
            PrometheusArgs(
                prefix=self._settings.name,
                image=self._images.digest("prometheus"),
                settings=self._settings.services.prometheus,
                network=self._internal("monitoring").name,
                targets={"traefik": Target(f"traefik:{METRICS_PORT}"), **METRICS_TARGETS},
            ),
            opts=self._child,
        )
        self._routes.append(prometheus_route(self._host("prometheus")))

    def _grafana(self, password: pulumi.Output[str]) -> None:
        host = self._host("grafana")
        Grafana(
            GrafanaArgs(
                prefix=self._settings.name,
                image=self._images.digest("grafana"),
                network=self._internal("monitoring").name,
                url=url(self._settings.edge, host),
                password=password,
            ),
            opts=self._child,
        )
        self._routes.append(grafana_route(host))

    def _portainer(self, password: pulumi.Output[str]) -> None:
        Portainer(
            PortainerArgs(
                prefix=self._settings.name,
                image=self._images.digest("portainer"),
                network=self._internal("management").name,
                engine_socket=self._settings.engine.socket,
                password=password,
            ),
            opts=self._child,
        )
        self._routes.append(portainer_route(self._host("portainer")))

    def _edge(self) -> None:
        self._routes.append(Route("traefik", [self._host("traefik")], "api@internal", "password", 600))
        Edge(
            EdgeArgs(
                prefix=self._settings.name,
                image=self._images.digest("traefik"),
                settings=self._settings.edge,
                routes=self._routes,
                password=self._secrets.dashboard_password,
                cloudflare_token=self._secrets.cloudflare_token,
                public_network=self._networks["public"].name,
                networks=[network.name for name, network in self._networks.items() if name != "public"],
            ),
            opts=self._child,
        )

    def _host(self, service: str) -> str:
        return f"{service}.{self._settings.edge.domain}"

    def _internal(self, name: str) -> docker.Network:
        if name not in self._networks:
            self._networks[name] = self._network(name, internal=True)
        return self._networks[name]

    def _network(self, name: str, internal: bool) -> docker.Network:
        prefix = self._settings.name
        return docker.Network(
            f"{name}-network",
            name=f"{prefix}-{name}",
            driver="bridge",
            internal=internal,
            labels=[docker.NetworkLabelArgs(label=STACK_LABEL, value=prefix)],
            opts=self._child,
        )


def _engine(settings: PlatformSettings) -> docker.Provider:
    """The engine that everything runs on; where it is a host of ours, behind its firewall and prepared."""
    host = settings.host
    if not host:
        return docker.Provider("engine", host=settings.engine.host, ssh_opts=list(settings.engine.ssh_options))
    firewall = Firewall(
        FirewallArgs(
            ssh=host.ssh,
            ssh_sources=host.firewall.ssh_sources,
            web_ports=[settings.edge.http_port, *([settings.edge.tls.port] if settings.edge.tls else [])],
            web_sources=web_sources(host.firewall.web_sources),
            rollback_seconds=host.firewall.rollback_seconds,
        )
    )
    prepared = Host(host, opts=pulumi.ResourceOptions(depends_on=[firewall]))
    return docker.Provider(
        "engine",
        host=prepared.engine,
        ssh_opts=ssh.options(host.ssh),
        opts=pulumi.ResourceOptions(depends_on=[prepared]),
    )
