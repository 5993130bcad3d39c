"""The shape of `vps:platform`, the object in a stack's config that holds every setting that is not a secret.

What the sandbox's two processes read themselves is described by their own models, in `app`; `Sandbox` inherits the
fields that the operator chooses.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import Field, IPvAnyAddress, IPvAnyNetwork, StringConstraints, model_validator

from app.api.settings import ApiOptions
from app.environments import ENVIRONMENTS
from app.executor.settings import EnvironmentName, ExecutorOptions, ImageReference, StrongProfile
from app.process.settings import Settings
from app.profile import FLOOR

IMAGES_OF_OURS = ("app", *(f"sandbox-{environment}" for environment in ENVIRONMENTS))
UPSTREAM_IMAGES = {
    "traefik": "traefik:v3.7.15",
    "prometheus": "prom/prometheus:v3.16.0",
    "alertmanager": "prom/alertmanager:v0.34.0",
    "loki": "grafana/loki:3.7.8",
    "collector": "otel/opentelemetry-collector-contrib:0.149.0",
    "jaeger": "jaegertracing/jaeger:2.19.0",
    "node-exporter": "prom/node-exporter:v1.12.0",
    "blackbox-exporter": "prom/blackbox-exporter:v0.28.0",
    "grafana": "grafana/grafana:13.2.3",
    "portainer": "portainer/portainer-ce:2.33.5-alpine",
}

Address = Annotated[str, StringConstraints(pattern=r"^[^@\s]+@[^@\s]+$")]
HostName = Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")]
Port = Annotated[int, Field(ge=1, le=65535)]
NameServer = Annotated[str, StringConstraints(pattern=r"^\S+:\d{1,5}$")]
UserName = Annotated[str, StringConstraints(pattern=r"^[a-z_][a-z0-9_-]{0,31}$")]


class Ssh(Settings):
    """The VPS as the operator's machine, or CI, reaches it."""

    address: HostName = Field(description="Its address or name")
    port: Port = 22
    user: UserName = Field("root", description="Who prepares the host: root, or a user with sudo and no password")
    host_key: Annotated[str, StringConstraints(pattern=r"^(ssh|ecdsa)-[a-z0-9-]+ [A-Za-z0-9+/]+=*$")] = Field(
        description="The host's public key, `type base64`, as `ssh-keyscan` prints it; compare it with the provider's"
    )
    identity_file: str = Field("~/.ssh/id_ed25519", description="The private key, on the machine that runs Pulumi")


class Firewall(Settings):
    """The host's firewall."""

    ssh_sources: tuple[IPvAnyNetwork, ...] = Field(
        min_length=1, description="From where sshd answers, as networks; [0.0.0.0/0, '::/0'] for everywhere"
    )
    web_sources: Literal["cloudflare", "anyone"] = Field(
        "cloudflare", description="Who reaches the edge's ports: only Cloudflare's proxy, or everyone"
    )
    rollback_seconds: Annotated[int, Field(ge=5, le=600)] = Field(
        60, description="After how long the host undoes a change that no new connection confirms"
    )


class Host(Settings):
    """A VPS that the program prepares. Packages are Debian's or Ubuntu's."""

    ssh: Ssh
    firewall: Firewall
    docker: Literal["distribution", "docker"] = Field(
        "distribution", description="Where Docker comes from: the distribution, or Docker's own repository"
    )
    deploy_user: UserName = Field("deploy", description="Who may speak to the engine over SSH, and nothing else")
    deploy_keys: tuple[str, ...] = Field(min_length=1, description="Public keys of those who deploy")
    name_servers: tuple[IPvAnyAddress, ...] = Field(
        (), description="For containers, where the host's own is the cloud's metadata address, which they can't reach"
    )
    time_zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")] = "Etc/UTC"
    swap_mb: Annotated[int, Field(ge=0, le=65536)] = Field(1024, description="Size of the swap file; 0 for none")
    reboot_at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = Field(
        None, description="When the host may restart for a security update, such as 04:30; null for never by itself"
    )


class Engine(Settings):
    """The Docker engine that everything runs on. On a `host` of ours, only the socket counts."""

    host: Annotated[str, StringConstraints(pattern=r"^(unix|ssh|tcp|npipe)://")] = Field(
        "unix:///var/run/docker.sock", description="How the Pulumi program reaches the engine: unix://, ssh://user@host"
    )
    ssh_options: tuple[str, ...] = Field((), description="Arguments for ssh, where `host` is an ssh:// one")
    socket: Annotated[str, StringConstraints(pattern=r"^/.+\.sock$")] = Field(
        "/var/run/docker.sock", description="The engine's socket on its own host, for the executor and Portainer"
    )


class Authority(Settings):
    """A certificate authority of one's own that speaks ACME."""

    url: Annotated[str, StringConstraints(pattern=r"^https://")] = Field(description="Its ACME directory")
    certificate: Annotated[str, StringConstraints(pattern=r"^-----BEGIN CERTIFICATE-----\n")] = Field(
        description="In PEM, what its own HTTPS is checked against"
    )


class Tls(Settings):
    """HTTPS with certificates by ACME, proven by DNS-01 through Cloudflare."""

    port: Port = 443
    email: Address = Field(description="Where the authority writes when something is wrong with a certificate")
    authority: Literal["staging", "production"] | Authority = Field(
        "staging",
        description="Let's Encrypt's staging or production, or one of one's own. Staging certificates are not trusted "
        "by browsers and have generous quotas: begin there",
    )
    wildcard: bool = Field(False, description="One certificate for the domain and all below it, not one for each host")
    name_servers: tuple[NameServer, ...] = Field(
        (), description="Asked whether a proof is visible, as in 10.0.0.53:53. Empty: the zone's own, found by DNS"
    )


class Edge(Settings):
    """The reverse proxy: the only service that publishes ports."""

    domain: HostName = Field("localhost", description="Services other than the API answer at <service>.<domain>")
    api_hosts: tuple[HostName, ...] = Field(
        ("localhost",), min_length=1, description="Names under which the API answers. The first one is shown in URLs"
    )
    ipv4: IPv4Address | None = Field(
        IPv4Address("127.0.0.1"), description="The host's address on which the ports are published; 0.0.0.0 for each"
    )
    ipv6: IPv6Address | None = Field(
        None, description="The same over IPv6; '::' for each. The edge's container has an address of IPv6 then too"
    )
    http_port: Port = Field(8000, description="Port for HTTP. With TLS on, it only redirects")
    tls: Tls | None = Field(None, description="HTTPS. Off for a platform on one's own machine")

    @model_validator(mode="after")
    def _the_wildcard_covers_the_api(self) -> "Edge":
        if self.tls and self.tls.wildcard:
            for host in self.api_hosts:
                if self.domain not in (host, host.partition(".")[2]):
                    raise ValueError(f"tls.wildcard covers {self.domain} and one name before it, which {host} is not")
        return self

    @model_validator(mode="after")
    def _ports_differ(self) -> "Edge":
        if self.tls and self.tls.port == self.http_port:
            raise ValueError(f"http_port and tls.port are both {self.http_port}: only one of them can be published")
        return self

    @model_validator(mode="after")
    def _has_an_address(self) -> "Edge":
        if not self.addresses:
            raise ValueError("ipv4, ipv6 or both must be set: nobody could reach the edge")
        return self

    @property
    def addresses(self) -> list[IPv4Address | IPv6Address]:
        """Where the ports are published: one of a version at most."""
        return [address for address in (self.ipv4, self.ipv6) if address]

    def host(self, service: str) -> str:
        """The name under which a service other than the API answers."""
        return f"{service}.{self.domain}"


class Dns(Settings):
    """Records at Cloudflare for each name of the edge. The token for its API is the secret vps:cloudflareToken."""

    zone_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")] = Field(
        description="The zone, as its page at Cloudflare shows it: 32 hexadecimal digits"
    )
    ipv4: IPv4Address | None = Field(None, description="The host's public address, for A records")
    ipv6: IPv6Address | None = Field(None, description="The host's public address, for AAAA records")
    proxied: bool = Field(
        True, description="Visitors come through Cloudflare's proxy, which hides the host's address and filters"
    )
    authorities: tuple[HostName, ...] = Field(
        ("letsencrypt.org",), description="Who may issue certificates for the names (CAA). Empty: anyone"
    )
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://")] = Field(
        "https://api.cloudflare.com/client/v4", description="Cloudflare's API, for records and for certificates' proofs"
    )

    @model_validator(mode="after")
    def _has_an_address(self) -> "Dns":
        if not (self.ipv4 or self.ipv6):
            raise ValueError("ipv4, ipv6 or both must be set: there is nothing to point the names at")
        return self


class Sandbox(ApiOptions, ExecutorOptions):
    """The public code runner. The other keys are the fields of `ApiOptions` and `ExecutorOptions`."""

    profile: StrongProfile = Field(FLOOR, description="Stricter than the floor, or equal")
    environments: tuple[EnvironmentName, ...] = Field(
        tuple(ENVIRONMENTS), min_length=1, description="What visitors may run. A ready python-data takes about 100 MB"
    )

    @property
    def images(self) -> dict[str, str]:
        """The name of its image by environment, for those that visitors may run."""
        return {environment: f"sandbox-{environment}" for environment in self.environments}


class Switch(Settings):
    """A service that is on or off and has nothing else to set."""

    enabled: bool = True


class Prometheus(Switch):
    """Metrics, the rules over them, and the alerts that they raise."""

    # 100 years. Prometheus and Loki count durations in nanoseconds, in 64 bits: from 292 years on they don't start.
    retention_days: Annotated[int, Field(ge=1, le=36_500)] = 15
    scrape_seconds: Annotated[int, Field(ge=1, le=300)] = 15
    runbooks: Annotated[str, StringConstraints(pattern=r"^(https?://\S+/)?$")] = Field(
        "", description="URL, with its last slash, under which whoever gets an alert reads this repository's files"
    )


class Email(Settings):
    """Alerts by e-mail, over STARTTLS. The password is the secret vps:alertSmtpPassword."""

    to: Address
    sender: Address
    server: Annotated[str, StringConstraints(pattern=r"^[a-z0-9.-]+:\d+$")] = Field(
        description="The mail server, as in smtp.example.com:587"
    )
    user: Annotated[str, StringConstraints(min_length=1)]


class Slack(Settings):
    """Alerts in a channel of Slack. The URL of the incoming webhook is the secret vps:alertSlackUrl."""

    channel: Annotated[str, StringConstraints(pattern=r"^#\S+$")] = Field(description="As in #alerts")


class Alertmanager(Switch):
    """Who hears of alerts. Without a receiver they are only shown."""

    webhook: bool = Field(
        False, description="Post alerts, as Alertmanager's JSON, to the URL in the secret vps:alertWebhookUrl"
    )
    email: Email | None = None
    slack: Slack | None = None
    heartbeat: bool = Field(
        False,
        description="Post to the URL in the secret vps:alertHeartbeatUrl each minute, for as long as alerts work: "
        "whoever listens there raises the alarm when it stops",
    )


class Loki(Switch):
    """Logs."""

    retention_hours: Annotated[int, Field(ge=24, le=876_000, multiple_of=24)] = Field(
        360, description="Whole days: the index is cut by day"
    )


class Jaeger(Switch):
    """Traces, in memory: a restart forgets them."""

    traces: Annotated[int, Field(ge=1, le=100_000)] = Field(5_000, description="The latest ones, which are kept")


class Services(Settings):
    """The services around the API. Each is a switch, so that a small host can run a part.

    A service's name is the field's with hyphens, as in node-exporter.
    """

    prometheus: Prometheus = Prometheus()
    alertmanager: Alertmanager = Alertmanager()
    loki: Loki = Loki()
    collector: Switch = Switch()
    jaeger: Jaeger = Jaeger()
    node_exporter: Switch = Switch()
    blackbox_exporter: Switch = Switch()
    grafana: Switch = Switch()
    portainer: Switch = Switch()


SERVICES = {field.replace("_", "-"): field for field in Services.model_fields}
"""The field of `Services` by the service's name."""


class PlatformSettings(Settings):
    """Everything that an operator may change and that is not a secret."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")] = Field(
        description="Prefix of each container, network and volume. Default: vps-<stack>"
    )
    engine: Engine = Engine()
    host: Host | None = Field(None, description="The VPS to prepare. Off for an engine that is somebody else's")
    edge: Edge = Edge()
    dns: Dns | None = Field(None, description="DNS records. Off where names are kept by hand, or there are none")
    sandbox: Sandbox = Sandbox()
    services: Services = Services()
    images: dict[str, ImageReference] = Field(
        default_factory=dict, description="Image references by name, over the pinned upstream ones"
    )
    unavailable: dict[str, str] = Field(
        default_factory=dict, description="Services whose image can't be had on this machine, each with the reason"
    )
    on_unavailable: Literal["notice", "error"] = Field(
        "error", description="What an unavailable service does: switch it off with a notice, or refuse the stack"
    )

    @model_validator(mode="after")
    def _images_are_known(self) -> "PlatformSettings":
        known = {*IMAGES_OF_OURS, *UPSTREAM_IMAGES}
        if unknown := sorted(set(self.images) - known):
            raise ValueError(f"images has unknown names {unknown}; it may hold {sorted(known)}")
        needed = ["app", *self.sandbox.images.values()]
        if missing := [name for name in needed if name not in self.images]:
            raise ValueError(f"images lacks {missing}: `make up` builds and names them; elsewhere name pushed ones")
        if unknown := sorted(set(self.unavailable) - set(SERVICES)):
            raise ValueError(f"unavailable has unknown names {unknown}; it may hold {sorted(SERVICES)}")
        return self

    @model_validator(mode="after")
    def _unavailable_is_allowed(self) -> "PlatformSettings":
        if self.on_unavailable == "error":
            for service in self._switched_on():
                if reason := self.unavailable.get(service):
                    raise ValueError(
                        f"services.{SERVICES[service]} is on, but {reason}. Provide its image, or set "
                        f"services.{SERVICES[service]}.enabled: false"
                    )
        return self

    @model_validator(mode="after")
    def _visitors_come_in(self) -> "PlatformSettings":
        if self.host and self.dns and self.host.firewall.web_sources == "cloudflare" and not self.dns.proxied:
            raise ValueError(
                "host.firewall.web_sources is cloudflare, and dns.proxied: false sends visitors past it, where nobody "
                "comes in. Set dns.proxied: true, or web_sources: anyone"
            )
        return self

    @model_validator(mode="after")
    def _records_lead_to_the_edge(self) -> "PlatformSettings":
        if self.host and self.dns:
            for version in ("ipv4", "ipv6"):
                if getattr(self.dns, version) and not getattr(self.edge, version):
                    raise ValueError(
                        f"dns.{version} is set and edge.{version} is not: the record would send visitors to an address "
                        f"where the edge does not answer. Set edge.{version}, or remove dns.{version}"
                    )
        return self

    def _switched_on(self) -> list[str]:
        return [service for service, field in SERVICES.items() if getattr(self.services, field).enabled]

    def runs(self, service: str) -> bool:
        """Whether the service is switched on and its image can be had."""
        return service in self._switched_on() and service not in self.unavailable

    @property
    def behind_cloudflare(self) -> bool:
        """Whether visitors come through Cloudflare's proxy: by the records, or as the firewall lets in nobody else."""
        by_firewall = self.host is not None and self.host.firewall.web_sources == "cloudflare"
        return by_firewall or (self.dns is not None and self.dns.proxied)

    def notices(self) -> list[str]:
        """A sentence for each service that is wanted and left out."""
        return [
            f"{service} is off: {self.unavailable[service]}"
            for service in self._switched_on()
            if service in self.unavailable
        ]

    def image(self, name: str) -> str:
        """The reference that an image is found by on the engine or in a registry."""
        return {**UPSTREAM_IMAGES, **self.images}[name]
