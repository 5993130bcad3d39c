"""The models of `vps:platform`, the object in a stack's config that holds every setting that is not a secret.

`docs/SETTINGS.md` lists all keys. Settings that the api and the executor read themselves are fields of their own models
in `app`: `Sandbox` inherits those that the operator may set.
"""

from ipaddress import IPv4Address, IPv6Address
from typing import Annotated, Literal

from pydantic import Field, IPvAnyAddress, IPvAnyNetwork, StringConstraints, model_validator

from app.api.settings import IN_MEMORY, ApiOptions, Keys
from app.environments import DEFAULT_ENVIRONMENTS
from app.executor.settings import EnvironmentName, ExecutorOptions, StrongProfile
from app.process.settings import Settings
from app.profile import EXECUTOR_LEAST_MB, FLOOR
from infra.backups import Backup, HostKey, Port, UserName
from infra.cluster import ADAPTER, NOT_ON_CLUSTERS, Cluster, Gateway, HostName
from infra.images import IMAGES_OF_OURS, UPSTREAM_IMAGES
from infra.optional_services import SERVICES, Services
from infra.receivers import Address

NameServer = Annotated[str, StringConstraints(pattern=r"^\S+:\d{1,5}$")]
ImageReference = Annotated[str, StringConstraints(pattern=r"^\S+$")]

_EXECUTOR_MB = 256
"""The same with sandboxes that wait: the default pools hold at most 220 MB, and an executor without any 50."""


class Ssh(Settings):
    """How the machine that runs Pulumi (the operator's, or CI) reaches the VPS."""

    address: HostName
    """IPv4 address or name of the VPS."""
    port: Port = 22
    """Port of sshd on the VPS."""
    user: UserName = "root"
    """User that prepares the host: root, or one with sudo without a password."""
    host_key: HostKey
    """Public key of the host, as in `ssh-ed25519 AAAA...`; compare it with the provider's console."""
    identity_file: str = "~/.ssh/id_ed25519"
    """Private key, a path on the machine that runs Pulumi."""


class Firewall(Settings):
    """The host's firewall."""

    ssh_sources: tuple[IPvAnyNetwork, ...] = Field(min_length=1)
    """Networks that may reach sshd; ["0.0.0.0/0", "::/0"] for all."""
    web_sources: Literal["cloudflare", "anyone"] = "cloudflare"
    """Who may reach the ports of the edge: `cloudflare`, its proxy alone, or `anyone`."""
    rollback_seconds: Annotated[int, Field(ge=5, le=600)] = 60
    """Seconds after which the host undoes a change that no new SSH connection has confirmed, 5 to 600."""


class Host(Settings):
    """A VPS with Debian or Ubuntu, which the program prepares over SSH."""

    ssh: Ssh
    firewall: Firewall
    docker: Literal["distribution", "docker"] = "distribution"
    """Where Docker is installed from: `distribution`, or `docker`, its own repository."""
    deploy_user: UserName = "deploy"
    """User that may use Docker over SSH, and do nothing else."""
    deploy_keys: tuple[str, ...] = Field(min_length=1)
    """SSH public keys of those who deploy."""
    name_servers: tuple[IPvAnyAddress, ...] = ()
    """Name servers for containers. Needed where the host's are in 169.254.0.0/16, which containers cannot reach."""
    time_zone: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$")] = "Etc/UTC"
    """Time zone of the host, as in Europe/Berlin."""
    swap_mb: Annotated[int, Field(ge=0, le=65536)] = 1024
    """Size of the swap file in MB; 0 for none."""
    reboot_at: Annotated[str, StringConstraints(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    """Time of day, as in 04:30, at which the host may restart for a security update. Unset: never."""


class Engine(Settings):
    """The Docker that the platform runs on. With `host`, the program knows its address."""

    host: Annotated[str, StringConstraints(pattern=r"^(unix|ssh|tcp|npipe)://")] = "unix:///var/run/docker.sock"
    """URL of Docker for Pulumi, as in unix:///path or ssh://user@host."""
    ssh_options: tuple[str, ...] = ()
    """Arguments of `ssh`, where the URL is an ssh:// one."""
    socket: Annotated[str, StringConstraints(pattern=r"^/.+\.sock$")] = "/var/run/docker.sock"
    """Path of Docker's socket on Docker's host, for Portainer."""
    cgroup_version: Literal[1, 2] = 2
    """Version of the control groups on Docker's host, as `docker info` shows it, or on a cluster's nodes."""
    apparmor: bool = True
    """Whether Docker's host has AppArmor with the profiles of infra/host/apparmor. With `host`, its scripts load them.
    False: AppArmor holds neither the executor nor the sandboxes."""


class Authority(Settings):
    """A private certificate authority with an ACME server."""

    url: Annotated[str, StringConstraints(pattern=r"^https://")]
    """URL of its ACME directory."""
    certificate: Annotated[str, StringConstraints(pattern=r"^-----BEGIN CERTIFICATE-----\n")]
    """Certificate, in PEM, that the HTTPS of the ACME server is checked against."""


class Tls(Settings):
    """HTTPS with certificates from an ACME authority, whose DNS-01 challenges are answered through Cloudflare; on a
    cluster, `cluster.issuer` may issue them. Then `port` and `wildcard` are the only keys."""

    port: Port = 443
    """Port for HTTPS."""
    email: Address | None = None
    """Address to which the authority reports problems with a certificate. The authority needs one."""
    authority: Literal["staging", "production"] | Authority = "staging"
    """Let's Encrypt's `staging` or `production`, or a private authority (`url`, `certificate`). Begin with staging:
    browsers do not trust its certificates, but its quotas are large."""
    wildcard: bool = False
    """One certificate for `<domain>` and `*.<domain>` instead of one for each host."""
    name_servers: tuple[NameServer, ...] = ()
    """Name servers at which a challenge must be visible, as in 10.0.0.53:53. Empty: those of the zone."""


class Edge(Settings):
    """The reverse proxy: the only service that publishes ports."""

    domain: HostName = "localhost"
    """Services other than the API answer at `<service>.<domain>`."""
    api_hosts: tuple[HostName, ...] = Field(("localhost",), min_length=1)
    """Host names of the API. URLs that are shown use the first one."""
    ipv4: IPv4Address | None = IPv4Address("127.0.0.1")
    """Address of the host on which ports are published; 0.0.0.0 for all."""
    ipv6: IPv6Address | None = None
    """IPv6 address on which ports are published; :: for all. Gives the edge's network IPv6, too."""
    http_port: Port = 8000
    """Port for HTTP. With TLS, it only redirects."""
    tls: Tls | None = None
    """HTTPS. Unset: HTTP only, for a platform on one's own machine."""

    @model_validator(mode="after")
    def _tls_fits(self) -> "Edge":
        if self.tls and self.tls.wildcard:
            for host in self.api_hosts:
                if self.domain not in (host, host.partition(".")[2]):
                    raise ValueError(f"tls.wildcard covers {self.domain} and *.{self.domain}, and not {host}")
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
        """The addresses on which ports are published: one for IPv4, one for IPv6, or both."""
        return [address for address in (self.ipv4, self.ipv6) if address]

    def host(self, service: str) -> str:
        """The host name of a service other than the API."""
        return f"{service}.{self.domain}"


class Dns(Settings):
    """Records at Cloudflare for each host name of the edge. The API token is the secret vps:cloudflareToken."""

    zone_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    """Zone ID, 32 hexadecimal digits, from the zone's page at Cloudflare."""
    ipv4: IPv4Address | None = None
    """Public address of the host, for A records."""
    ipv6: IPv6Address | None = None
    """Public address of the host, for AAAA records."""
    proxied: bool = True
    """Whether visitors go through Cloudflare's proxy, which filters and hides the host's address."""
    authorities: tuple[HostName, ...] = ("letsencrypt.org",)
    """Authorities that may issue certificates for the host names (CAA records). Empty: any."""
    base_url: Annotated[str, StringConstraints(pattern=r"^https?://")] = "https://api.cloudflare.com/client/v4"
    """URL of Cloudflare's API, for records and ACME challenges."""

    @model_validator(mode="after")
    def _has_an_address(self) -> "Dns":
        if not (self.ipv4 or self.ipv6):
            raise ValueError("ipv4, ipv6 or both must be set: there is nothing to point the names at")
        return self


class Sandbox(ApiOptions, ExecutorOptions):
    """The public code runner. The other keys are the fields of `ApiOptions` and `ExecutorOptions`."""

    profile: StrongProfile = FLOOR
    """Limits of a sandbox, each at least as strict as its default."""
    environments: tuple[EnvironmentName, ...] = Field(DEFAULT_ENVIRONMENTS, min_length=1)
    """Environments that visitors may use. A ready python-data sandbox takes about 60 MB."""
    memory_mb: Annotated[int, Field(ge=EXECUTOR_LEAST_MB)] | None = None
    """Memory of the executor and all of its sandboxes together, in MB. Unset: 256, and the profile's memory for each of
    `concurrency`."""
    keys: Keys = ()
    """Keys of sites that embed the API; `make key NAME=site` makes one. The keys of each are below."""
    keep_counts: bool = False
    """Whether the stack's own Valkey keeps its content on a volume, which a backup saves. If not, a restart
    empties it."""
    cpus: Annotated[float, Field(ge=0.1, le=1024)] = 1.0
    """CPU time a second of wall time of the executor and all of its sandboxes together, in cores. Docker refuses more
    than the host has; `make up` sets all that this machine has."""

    units: Annotated[int, Field(ge=1, le=16)] = 1
    """Units side by side on Docker, 1 to 16: each is an api and an executor with its own `memory_mb`, `cpus`,
    `concurrency` and pool. More than one need a Valkey as `rate_store`, and with `rooms` one more has these. On a
    cluster: `cluster.units`."""
    start_seconds: Annotated[int, Field(ge=10, le=3600)] = 120
    """Seconds within which a new api must be healthy, from 10 to 3600. Else `up` fails, and the old one serves on."""

    @property
    def in_valkey(self) -> bool:
        """Whether requests are counted in the stack's own Valkey."""
        return self.rate_store == STACKS_STORE

    @property
    def together_mb(self) -> int:
        """The memory of the executor and all of its sandboxes together, in MB."""
        return self.memory_mb or _EXECUTOR_MB + self.concurrency * self.profile.memory_mb

    @model_validator(mode="after")
    def _one_sandbox_fits(self) -> "Sandbox":
        least = EXECUTOR_LEAST_MB + self.profile.memory_mb
        if self.together_mb < least:
            raise ValueError(f"memory_mb is {self.memory_mb}, and the executor with one sandbox needs {least}")
        return self


VALKEY = "valkey"
"""The service that runs where `sandbox.rate_store` is STACKS_STORE."""
STACKS_STORE = f"valkey://{VALKEY}:6379/0"


class PlatformSettings(Settings):
    """Every setting of a stack that is not a secret: the value of `vps:platform`."""

    name: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    """Prefix of the names of containers, networks and volumes; by default `vps-<stack>`."""
    engine: Engine = Engine()
    host: Host | None = None
    """The VPS to prepare. Unset: Docker is already there."""
    cluster: Cluster | None = None
    """The Kubernetes cluster to run on. Unset: Docker."""
    edge: Edge = Edge()
    dns: Dns | None = None
    """DNS records. Unset: none are made."""
    sandbox: Sandbox = Sandbox()
    services: Services = Services()
    backup: Backup | None = None
    """Backups of all data. Unset: none are made."""
    images: dict[str, ImageReference] = Field(default_factory=dict)
    """Reference of each image by name: our own ones, and others in place of the pinned ones."""
    unavailable: dict[str, str] = Field(default_factory=dict)
    """Services whose image is not available on this machine, each with the reason."""
    on_unavailable: Literal["notice", "error"] = "error"
    """An unavailable service is switched off with a `notice`, or refuses the stack as an `error`."""

    @model_validator(mode="after")
    def _images_are_known(self) -> "PlatformSettings":
        known = {*IMAGES_OF_OURS, *UPSTREAM_IMAGES}
        if unknown := sorted(set(self.images) - known):
            raise ValueError(f"images has unknown names {unknown}; it may hold {sorted(known)}")
        if missing := [name for name in IMAGES_OF_OURS if name not in self.images]:
            raise ValueError(f"images lacks {missing}: `make up` builds and names them; elsewhere name pushed ones")
        optional = {VALKEY, ADAPTER, *SERVICES}
        if unknown := sorted(set(self.unavailable) - optional):
            raise ValueError(f"unavailable has unknown names {unknown}; it may hold {sorted(optional)}")
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
    def _rates_can_be_counted(self) -> "PlatformSettings":
        if self.sandbox.units > 1 and self.sandbox.rate_store == IN_MEMORY:
            raise ValueError(
                f"sandbox.units is {self.sandbox.units}, and each unit would count by itself. "
                f"Set sandbox.rate_store: {STACKS_STORE}"
            )
        if self.sandbox.in_valkey and (reason := self.unavailable.get(VALKEY)):
            raise ValueError(f"sandbox.rate_store is {STACKS_STORE}, but {reason}. Provide its image, or set another")
        return self

    @model_validator(mode="after")
    def _certificates_have_one_source(self) -> "PlatformSettings":
        if not (tls := self.edge.tls):
            return self
        acme = sorted(tls.model_fields_set - {"port", "wildcard"})
        if self.issuer and acme:
            raise ValueError(f"edge.tls.{acme[0]} is for ACME, and cluster.issuer issues the certificate. Leave it out")
        if not (self.issuer or tls.email):
            raise ValueError("edge.tls.email is missing: the ACME authority needs it")
        return self

    @model_validator(mode="after")
    def _records_lead_to_the_edge(self) -> "PlatformSettings":
        if not (self.host and self.dns):
            return self
        if self.host.firewall.web_sources == "cloudflare" and not self.dns.proxied:
            raise ValueError(
                "host.firewall.web_sources is cloudflare, and with dns.proxied: false visitors do not go through "
                "Cloudflare: the firewall would block them. Set dns.proxied: true, or web_sources: anyone"
            )
        for version in ("ipv4", "ipv6"):
            if getattr(self.dns, version) and not getattr(self.edge, version):
                raise ValueError(
                    f"dns.{version} is set and edge.{version} is not: the record would send visitors to an address "
                    f"where the edge does not answer. Set edge.{version}, or remove dns.{version}"
                )
        return self

    @model_validator(mode="after")
    def _fits_the_cluster(self) -> "PlatformSettings":
        if not self.cluster:
            return self
        if self.host:
            raise ValueError("host and cluster are both set: the platform runs on one of them")
        if self.sandbox.units > 1:
            raise ValueError("sandbox.units is for Docker. Leave it out, and set cluster.units")
        if self.sandbox.rate_store == IN_MEMORY and (self.cluster.units.max > 1 or self.sandbox.rooms):
            several = f"cluster.units.max is {self.cluster.units.max}"
            if self.sandbox.rooms:
                several = "on a cluster, sandbox.rooms have a unit of their own"
            raise ValueError(f"{several}, and each unit would count by itself. Set sandbox.rate_store: {STACKS_STORE}")
        if self.backup:
            raise ValueError("backup is for Docker: on a cluster, its storage makes snapshots of volumes. Leave it out")
        for field in (SERVICES[service] for service in NOT_ON_CLUSTERS):
            if getattr(self.services, field).enabled:
                raise ValueError(f"services.{field} does not run on a cluster. Set services.{field}.enabled: false")
        self.cluster.check_monitoring(self.services.prometheus.enabled, self.unavailable)
        self.cluster.check_ports(self.edge.http_port, self.edge.tls.port if self.edge.tls else None)
        return self

    def _switched_on(self) -> list[str]:
        return [service for service, field in SERVICES.items() if getattr(self.services, field).enabled]

    def runs(self, service: str) -> bool:
        """Whether the service is switched on and its image is available."""
        if service == ADAPTER:
            return self.cluster is not None and self.cluster.units.scaled_by == "adapter"
        return service in self._switched_on() and service not in self.unavailable

    @property
    def rooms_apart(self) -> bool:
        """Whether the rooms are in a unit of their own: where there are several, or on a cluster, since two pods of a
        unit overlap when it is replaced."""
        return self.sandbox.rooms is not None and (self.cluster is not None or self.sandbox.units > 1)

    @property
    def gateway(self) -> Gateway | None:
        """The Gateway in front of the edge."""
        return self.cluster.gateway if self.cluster else None

    @property
    def issuer(self) -> str | None:
        """What issues the certificate, if it is not the edge itself by ACME."""
        return self.cluster.issuer if self.cluster else None

    @property
    def https(self) -> bool:
        """Whether visitors speak HTTPS."""
        return self.gateway.https if self.gateway else self.edge.tls is not None

    @property
    def behind_cloudflare(self) -> bool:
        """Whether visitors go through Cloudflare's proxy: the records say so, or the firewall admits nobody else."""
        by_firewall = self.host is not None and self.host.firewall.web_sources == "cloudflare"
        return by_firewall or (self.dns is not None and self.dns.proxied)

    def notices(self) -> list[str]:
        """A sentence for each service that is switched on and not available."""
        return [
            f"{service} is off: {self.unavailable[service]}"
            for service in self._switched_on()
            if service in self.unavailable
        ]

    def image(self, name: str) -> str:
        """The reference of an image, on Docker's host or in a registry."""
        return {**UPSTREAM_IMAGES, **self.images}[name]
