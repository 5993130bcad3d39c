"""The platform: settings in, services and their URLs out."""

import hashlib
from collections.abc import Mapping, Sequence
from ipaddress import IPv6Network

import pulumi
import pulumi_docker as docker

from infra.cloudflare import RANGES
from infra.config import GENERATED_SECRETS, SECRET_KEYS, Secrets
from infra.dns import Dns, DnsArgs
from infra.docker.images import Images
from infra.host import ssh
from infra.host.firewall import Firewall, FirewallArgs, web_sources
from infra.host.host import Host
from infra.service import STACK_LABEL
from infra.services import observability, portainer
from infra.services.edge import USER, Edge, EdgeArgs, Route, url
from infra.services.observability import Observability, ObservabilityArgs
from infra.services.sandbox import API_PORT, Sandbox, SandboxArgs
from infra.settings import SERVICES, PlatformSettings
from infra.settings import Dns as DnsSettings


class Platform(pulumi.ComponentResource):
    """Everything on one engine.

    Networks keep the services apart: the edge is on each internal one, and a service is on the one network that it
    needs. The public one is the edge's own; the outbound one is for what must call out and is called by nobody.
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
        optional = [service for service in SERVICES if settings.runs(service)]
        self._images = Images(
            settings,
            ["app", "traefik", *settings.sandbox.images.values(), *optional],
            opts=self._child,
        )
        self._routes = _routes(settings)
        self._internal_networks: dict[str, docker.Network] = {}
        self._sandbox()
        if self._runs_any(observability.NAMES):
            self._observability()
        if secrets.portainer_password:
            self._portainer(secrets.portainer_password)
        self._edge()
        if settings.dns and secrets.cloudflare_token:
            self._dns(settings.dns, secrets.cloudflare_token)
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

    @property
    def passwords(self) -> Mapping[str, pulumi.Output[str]]:
        """The password behind each config key, for those that are made for the stack. They stay encrypted."""
        return {
            SECRET_KEYS[field]: password
            for field in GENERATED_SECRETS
            if (password := getattr(self._secrets, field)) is not None
        }

    def _sandbox(self) -> None:
        network = self._internal("api")
        # Prometheus asks the api for its figures, and the api hands its spans to Jaeger.
        monitored = self._runs_any(("prometheus", "jaeger"))
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
                networks=[network.name, *([self._internal("monitoring").name] if monitored else [])],
                # Only the edge and the api are on this network: whoever speaks to the api there is the edge. It adds
                # the address of its own visitor, which may be a proxy too.
                proxies=network.ipam_configs.apply(
                    lambda configs: [*(c.subnet for c in configs if c.subnet), *self._proxies_in_front()]
                ),
                otlp_endpoint=observability.otlp_endpoint(self._settings),
            ),
            opts=self._child,
        )

    def _observability(self) -> None:
        calls_out = self._runs_any(observability.NEED_OUTBOUND)
        Observability(
            ObservabilityArgs(
                settings=self._settings,
                secrets=self._secrets,
                images=self._images,
                network=self._internal("monitoring").name,
                outbound_network=self._network("outbound", internal=False).name if calls_out else None,
                routes=self._routes,
            ),
            opts=self._child,
        )

    def _portainer(self, password: pulumi.Output[str]) -> None:
        portainer.Portainer(
            portainer.PortainerArgs(
                prefix=self._settings.name,
                image=self._images.digest("portainer"),
                network=self._internal("management").name,
                engine_socket=self._settings.engine.socket,
                password=password,
            ),
            opts=self._child,
        )

    def _edge(self) -> None:
        Edge(
            EdgeArgs(
                prefix=self._settings.name,
                image=self._images.digest("traefik"),
                settings=self._settings.edge,
                routes=self._routes,
                password=self._secrets.dashboard_password,
                cloudflare_token=self._secrets.cloudflare_token,
                public_network=self._public_network().name,
                networks=[network.name for network in self._internal_networks.values()],
                otlp_endpoint=observability.otlp_endpoint(self._settings),
                trusted_proxies=self._proxies_in_front(),
                cloudflare_url=self._settings.dns.base_url if self._settings.dns else None,
            ),
            opts=self._child,
        )

    def _dns(self, settings: DnsSettings, token: pulumi.Output[str]) -> None:
        hosts = sorted({host for route in self._routes for host in route.hosts})
        Dns(DnsArgs(settings=settings, domain=self._settings.edge.domain, hosts=hosts, token=token), opts=self._child)

    def _proxies_in_front(self) -> list[str]:
        """The networks of whoever stands between the visitors and the edge."""
        return RANGES.networks if self._settings.behind_cloudflare else []

    def _runs_any(self, services: tuple[str, ...]) -> bool:
        return any(self._settings.runs(service) for service in services)

    def _internal(self, name: str) -> docker.Network:
        if name not in self._internal_networks:
            self._internal_networks[name] = self._network(name, internal=True)
        return self._internal_networks[name]

    def _public_network(self) -> docker.Network:
        if not self._settings.edge.ipv6:
            return self._network("public", internal=False)
        # Under another name, so that an edge that gets IPv6 moves over to it before the old network goes.
        name = "public-ipv6"
        # Before version 27, the engine chooses no subnet of IPv6 by itself.
        subnet = docker.NetworkIpamConfigArgs(subnet=str(unique_local(f"{self._settings.name}-{name}")))
        # It adds the subnet of IPv4 that it chose, which would count as a change on every `up`. Ours only changes with
        # the name, and that replaces the network.
        own = pulumi.ResourceOptions(ignore_changes=["ipamConfigs"])
        return self._network(name, internal=False, ipv6=True, ipam_configs=[subnet], opts=own)

    def _network(
        self,
        name: str,
        internal: bool,
        ipv6: bool | None = None,
        ipam_configs: Sequence[docker.NetworkIpamConfigArgs] | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> docker.Network:
        prefix = self._settings.name
        return docker.Network(
            f"{name}-network",
            name=f"{prefix}-{name}",
            driver="bridge",
            internal=internal,
            ipv6=ipv6,
            ipam_configs=ipam_configs,
            labels=[docker.NetworkLabelArgs(label=STACK_LABEL, value=prefix)],
            opts=pulumi.ResourceOptions.merge(self._child, opts),
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
    prepared = Host(
        host,
        settings.sandbox.runtime,
        ipv6=settings.edge.ipv6 is not None,
        opts=pulumi.ResourceOptions(depends_on=[firewall]),
    )
    return docker.Provider(
        "engine",
        host=prepared.engine,
        ssh_opts=ssh.options(host.ssh),
        opts=pulumi.ResourceOptions(depends_on=[prepared]),
    )


def unique_local(network: str) -> IPv6Network:
    """The subnet of IPv6 (a /64 of RFC 4193's unique local addresses) of the network with this name.

    A hash of the name stands for the 56 bits that are to be random: it is the same on every `up`, and networks with
    other names have others. No route of the internet leads to it.
    """
    digest = hashlib.sha256(network.encode()).digest()
    return IPv6Network((b"\xfd" + digest[:7] + bytes(8), 64))


def _routes(settings: PlatformSettings) -> list[Route]:
    """Everything that the edge publishes."""
    edge = settings.edge
    api = Route("api", edge.api_hosts, f"http://api:{API_PORT}", "none", 600, health_path="/health")
    management = [portainer.portainer_route(edge.host("portainer"))] if settings.runs("portainer") else []
    dashboard = Route("traefik", [edge.host("traefik")], "api@internal", "password", requests_per_minute=600)
    return [api, *observability.routes(settings), *management, dashboard]
