"""The platform: the component that makes everything else from the settings."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pulumi
import pulumi_docker as docker

from infra.config import GENERATED_SECRETS, SECRET_KEYS, Secrets
from infra.dns import Dns
from infra.docker.images import Images
from infra.docker.networks import Networks
from infra.docker.service import Stack
from infra.host import ssh
from infra.host.firewall import Firewall
from infra.host.host import Host
from infra.service import Context, Orchestrator, Service, ServiceArgs
from infra.services import catalog
from infra.services.backup import BACKUP
from infra.services.edge import TRAEFIK, USER, hosts, url
from infra.services.openbao import KEEPER, OPENBAO, held, with_agent
from infra.services.packages import COPY, PACKAGES, SENDING
from infra.services.sandbox import API, EXECUTOR, SITE_KEYS, keys_file
from infra.services.status import STATUS
from infra.services.valkey import STORE
from infra.settings import PlatformSettings


class Platform(pulumi.ComponentResource):
    """All services, on one host with Docker or on a Kubernetes cluster.

    Networks separate the services: each is on the one internal network that it needs, and the edge is on all of them
    but the store's. Only the edge is on the public network. Services that have to connect to the internet are on the
    outbound one, too.
    """

    def __init__(
        self, settings: PlatformSettings, secrets: Secrets, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        provider = _provider(settings)
        super().__init__(
            "vps:infra:Platform",
            "platform",
            None,
            pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(providers=[provider])),
        )
        for notice in settings.notices():
            pulumi.log.warn(notice, self)
        child = pulumi.ResourceOptions(parent=self)
        services = catalog.running(settings)
        known = {**secrets, SITE_KEYS: pulumi.Output.secret(keys_file(settings.sandbox))}
        self._context = Context(settings, known, services, _orchestrator(settings, services, child))
        if settings.runs(OPENBAO.name):
            self._make(OPENBAO.name, child, OPENBAO, KEEPER)
        beside = [service for service in services if service in (PACKAGES, SENDING, COPY, STORE)]
        self._make("sandbox", child, *beside, EXECUTOR, API, *(service for service in services if service.unit_of))
        if observability := [service for service in self._context.services if service in catalog.OBSERVABILITY]:
            component = pulumi.ComponentResource("vps:infra:Observability", "observability", None, child)
            for service in observability:
                self._make(service.name, pulumi.ResourceOptions(parent=component), service)
            component.register_outputs({})
        for service in self._context.services:
            if service in catalog.MANAGEMENT:
                self._make(service.name, child, service)
        # Behind those, because it joins the internal networks of the other services. It serves the status page's files.
        self._make("edge", child, *(it for it in self._context.services if it in (STATUS, TRAEFIK)))
        # After all others, since it mounts their volumes.
        if settings.backup:
            self._make("backup", child, BACKUP)
        self._context.orchestrator.watch(self._context, child)
        if settings.dns:
            names = sorted({host for service in self._context.routes for host in hosts(settings.edge, service)})
            Dns(settings.dns, settings.edge.domain, names, secrets["cloudflare_token"], child)
        self.register_outputs({"urls": self.urls})

    @property
    def urls(self) -> Mapping[str, str]:
        """The public URL of each service that has a route, by name."""
        settings = self._context.settings
        return {service: url(settings, hosts(settings.edge, service)[0]) for service in self._context.routes}

    @property
    def logins(self) -> Mapping[str, Mapping[str, str]]:
        """The user name of each service that asks for a password, and the config key of the password, by name."""
        return {
            service: {"user": USER, "secret": SECRET_KEYS[route.login or "dashboard_password"]}
            for service, route in self._context.routes.items()
            if route.login or route.authentication == "password"
        }

    @property
    def passwords(self) -> Mapping[str, pulumi.Output[str]]:
        """The generated passwords by config key, as secret outputs."""
        secrets = self._context.secrets
        return {SECRET_KEYS[name]: secrets[name] for name in GENERATED_SECRETS if name in secrets}

    def _make(self, name: str, opts: pulumi.ResourceOptions, *services: Service) -> None:
        """Make a component with this name of services, which start in this order."""
        described: dict[str, ServiceArgs] = {}
        for it in services:
            args = replace(it.describe(self._context), secrets=self._context.files(it))
            if secrets := held(it, self._context.settings):
                described[f"{it.name}-agent"], args = with_agent(it.name, args, secrets)
            described[it.name] = args
        self._context.orchestrator.make(name, described, opts)


def _orchestrator(
    settings: PlatformSettings, services: Sequence[Service], opts: pulumi.ResourceOptions
) -> Orchestrator:
    if settings.cluster:
        from infra.kubernetes.stack import ClusterStack  # noqa: PLC0415 - the import takes 2 s; only clusters pay

        return ClusterStack(settings, settings.cluster, services, opts)
    networks = Networks(settings.name, settings.edge.ipv6 is not None, opts)
    return Stack(settings.name, Images(settings, opts), networks)


def _provider(settings: PlatformSettings) -> pulumi.ProviderResource:
    if settings.cluster:
        from infra.kubernetes.stack import provider  # noqa: PLC0415 - as above

        return provider(settings.cluster)
    return _docker_provider(settings)


def _docker_provider(settings: PlatformSettings) -> docker.Provider:
    """The provider for Docker. With `host`, it depends on the host's firewall and preparation."""
    host = settings.host
    if not host:
        return docker.Provider("engine", host=settings.engine.host, ssh_opts=list(settings.engine.ssh_options))
    web_ports = [settings.edge.http_port, *([settings.edge.tls.port] if settings.edge.tls else [])]
    firewall = Firewall(host, web_ports)
    after = pulumi.ResourceOptions(depends_on=[firewall])
    prepared = Host(host, ipv6=settings.edge.ipv6 is not None, opts=after)
    return docker.Provider(
        "engine",
        host=prepared.docker_url,
        ssh_opts=ssh.options(host.ssh),
        opts=pulumi.ResourceOptions(depends_on=[prepared]),
    )
