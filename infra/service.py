"""A long-running service of the platform, described without what will run it.

`infra/docker` makes a hardened container of a description, `infra/kubernetes` a hardened workload; nothing here knows
their types.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import pulumi

from app.backup.settings import Copying
from infra.cloudflare import RANGES
from infra.config import Secrets, needed_secrets
from infra.settings import PlatformSettings

STACK_LABEL = "vps.stack"
SERVICE_LABEL = "vps.service"
ROLE_LABEL = "vps.role"
DATA_ROLE = "data"
SECRETS = "/run/secrets"
SECONDS_TO_BE_LEFT = 5
"""Seconds that a unit takes requests once it is to go, until the edge has heard of that."""
OPEN_FILES = 8192
"""Open files that each service may have."""


@dataclass(frozen=True)
class Health:
    """The health check: a command of the service's image, and how often it runs (seconds)."""

    command: Sequence[str]
    interval_seconds: int = 5
    timeout_seconds: int = 4
    retries: int = 6


@dataclass(frozen=True)
class NoHealth:
    """The service has no health check, for this reason. The policy pack knows such services by name."""

    reason: str


@dataclass(frozen=True)
class Config:
    """Files that a service reads, by file name, in a directory that it can't write. Other files replace the service."""

    directory: str
    files: Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True)
class WatchedFile:
    """A file that a service reads again by itself when it changes, so that a change replaces no container.

    It has its directory for itself, and no secret. `polled`: the service looks at the file from time to time, and does
    not depend on events of the directory, which differ on a cluster.
    """

    directory: str
    name: str
    content: pulumi.Input[str]
    polled: bool = False


@dataclass(frozen=True)
class Volume:
    """A directory that outlives a container. `data` also outlives the stack: the next `up` finds it again, and backups
    hold it, copied as `copying` says; None: they don't. On a cluster, one without data goes with its pod: it has
    `disk_mb` MiB of the node's disk, or is in memory, for sockets."""

    name: str
    data: bool = True
    copying: Copying | None = field(default_factory=Copying)
    disk_mb: int | None = None


@dataclass(frozen=True)
class Mount:
    """A volume where a service sees it.

    A fresh volume takes the owner and mode of the image's directory that it covers. Where the image has none
    (`in_image` is false) the volume would belong to root, so it is opened to the service first.
    """

    volume: Volume
    path: str
    read_only: bool = False
    in_image: bool = True


@dataclass(frozen=True)
class Port:
    """A port published on the host. Only the edge has any."""

    internal: int
    external: int
    address: str


@dataclass(frozen=True)
class DockerSocket:
    """Docker's socket, mounted into the container. Whoever holds it owns the host: hence the reason.

    The policy pack knows by name the services that may have it, and refuses any other.
    """

    path: str
    reason: str


@dataclass(frozen=True)
class HostPath:
    """A file or directory of the host that the service can read and not write, and why it must be the host's.

    The policy pack knows by name which service may see which path, and refuses any other. What the host mounts below
    the path later on does not appear in the container (private propagation).
    """

    path: str
    target: str
    reason: str


@dataclass(frozen=True)
class Privileges:
    """Linux capabilities, by name without `CAP_`, the system calls that the service may use in place of the default
    ones (the text of a seccomp profile in JSON), and the name of its AppArmor profile. Other services have no
    capability. Without a name, a profile is Docker's default one. With `own_users`, which clusters have, its pod has a
    user namespace of its own and an uncovered /proc: the capabilities reach no further than that.

    The policy pack knows all of them by the service's name, and refuses any others.
    """

    capabilities: Sequence[str]
    reason: str
    seccomp: str | None = None
    apparmor: str | None = None
    own_users: bool = False


@dataclass(frozen=True)
class ServiceArgs:
    """How one service runs.

    `image` is a name among the stack's images. Sizes are in MiB, `cpus` in cores, `user` is `uid:gid`. A service whose
    uid is 0 says why in `root_reason`, and the policy pack must know it by name. Whoever may inspect the container can
    read `environment`, so secrets are files: `secrets`, by name, under /run/secrets. `tmp_mb` and `run_mb` are a /tmp
    and a /run in memory, 0 for none. Without `networks` the service has only a loopback interface. `working_dir` is the
    image's own when None. For `drain_seconds` it may finish what runs when it is told to stop: other units take over.

    With `overlaps` the next container is made before this one is stopped. `up` goes on when the service is healthy, and
    fails when it isn't within `start_seconds`; None: `up` does not wait. A cluster does both by itself.

    A service that holds a token of a cluster's API says why in `api_server_reason`. `certificate` is the directory of
    `tls.crt` and `tls.key`, which the issuer of a cluster renews.
    """

    image: str
    entrypoint: Sequence[str]
    health: Health | NoHealth
    memory_mb: int
    cpus: float
    command: Sequence[pulumi.Input[str]] = ()
    networks: Sequence[str] = ()
    user: str = "65532:65532"
    root_reason: str | None = None
    environment: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    config: Config | None = None
    secrets: Mapping[str, pulumi.Output[str]] = field(default_factory=dict)
    working_dir: str | None = None
    mounts: Sequence[Mount] = ()
    ports: Sequence[Port] = ()
    tmp_mb: int = 0
    run_mb: int = 0
    drain_seconds: int = 0
    privileges: Privileges | None = None
    docker_socket: DockerSocket | None = None
    host_paths: Sequence[HostPath] = ()
    watched: WatchedFile | None = None
    overlaps: bool = False
    api_server_reason: str | None = None
    certificate: str | None = None
    start_seconds: int | None = None

    def weakenings(self) -> dict[str, str]:
        """Each default that the service gives up, with its reason."""
        reasons = {
            "root": self.root_reason,
            "privileges": self.privileges and self.privileges.reason,
            "docker-socket": self.docker_socket and self.docker_socket.reason,
            "token": self.api_server_reason,
            "host-paths": "; ".join(f"{path.path}: {path.reason}" for path in self.host_paths),
            "health": self.health.reason if isinstance(self.health, NoHealth) else None,
        }
        return {what: why for what, why in reasons.items() if why}


@dataclass(frozen=True)
class Files:
    """Files of a volume that the edge serves itself: their names by the path of their URL."""

    mount: Mount
    names: Mapping[str, str]


@dataclass(frozen=True)
class Route:
    """What the edge publishes under a service's host name, and who may come through.

    `target` is a URL inside, or the name of one of Traefik's own services (`api@internal`). With `authentication`
    "password" the edge asks for the dashboard password. `login` is the name of the secret that holds the password of
    a service with a log-in of its own. With `files` there is no target: the edge serves these itself.
    `requests_per_minute` limits each client address, with a burst of as many. At
    `health_path` a route without a password answers 200 when it works. With `problems`, what the edge itself refuses
    is a problem document.
    """

    target: str
    authentication: Literal["none", "password"]
    requests_per_minute: int
    health_path: str = "/"
    problems: bool = False
    login: str | None = None
    files: Files | None = None


@dataclass(frozen=True)
class Part:
    """The part of another service's route that leads to this one: `path` and all below it. `target` is a URL inside."""

    path: str
    target: str


@dataclass(frozen=True)
class Target:
    """Metrics that Prometheus scrapes: `host:port` and path, and relabelling of the series before they are kept.

    `parameters` go into the query. `labels` come on top of `job`; where they name the `instance`, it isn't the address.
    """

    address: str
    path: str = "/metrics"
    parameters: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    relabel: Sequence[Mapping[str, Any]] = ()


@dataclass(frozen=True)
class Secret:
    """A file under /run/secrets: what `text` makes of the stack's secret with this name. `at_start`: the service's
    program reads it at its start only."""

    name: str
    text: Callable[[str], str] = str
    at_start: bool = False


class Orchestrator(Protocol):
    """What runs the services: Docker, or a Kubernetes cluster."""

    def subnets(self, network: str) -> pulumi.Output[Sequence[str]]:
        """Those in which the services of a network have their addresses."""

    def internal_networks(self) -> Sequence[str]:
        """The names of the networks so far that lead nowhere outside and that a service is on."""

    def data(self) -> Sequence[Volume]:
        """The volumes with data so far."""

    def each(self, service: str) -> str | None:
        """A name with the addresses of all of its instances; None where its own name leads to the only one."""

    def host(self, service: str) -> pulumi.Output[str]:
        """The name by which a service is reached. With `overlaps`, its container's, once that is healthy."""

    def watch(self, context: "Context", opts: pulumi.ResourceOptions) -> None:
        """Have what is there besides the stack watch the services."""

    def make(self, name: str, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions) -> None:
        """Make a component with this name of services, which start in this order."""


@dataclass(frozen=True)
class Context:
    """What a service's description may depend on. `services` are all that run, on `orchestrator`."""

    settings: PlatformSettings
    secrets: Secrets
    services: Sequence["Service"]
    orchestrator: "Orchestrator"

    @property
    def routes(self) -> dict[str, Route]:
        """What the edge publishes, by service."""
        return {service.name: service.route for service in self.services if service.route}

    def files(self, service: "Service") -> dict[str, pulumi.Output[str]]:
        """The texts of a service's secrets by file name."""
        return {file: self.secrets[it.name].apply(it.text) for file, it in service.secrets(self.settings).items()}

    @property
    def otlp_endpoint(self) -> str | None:
        """Where spans go, as a URL of OTLP over HTTP; None where nothing takes them."""
        return next((service.otlp_endpoint for service in self.services if service.otlp_endpoint), None)

    @property
    def proxies_in_front(self) -> list[str]:
        """The networks of the proxies between the visitors and the edge."""
        cluster = self.settings.cluster
        return [*(RANGES.networks if self.settings.behind_cloudflare else []), *(cluster.proxies if cluster else [])]


@dataclass(frozen=True)
class Service:
    """One service as the rest of the platform knows it. `describe` says how it runs, `secrets` which secrets it reads
    as files, the other fields who uses it.

    Prometheus scrapes `target`, under `name` as its job; the edge publishes `route`; Grafana queries `source`, a URL.
    `unit_of` is the name of the service that runs beside this one in another unit, and shares job and route with it.
    With `part` this one serves that part of the route, and the others serve the rest.
    Spans are sent to `otlp_endpoint`, a URL of OTLP over HTTP, and alerts to `alerts_address`, a `host:port`. On a
    cluster it asks the services at the URLs in `uses`, and one that `reads` files of its machine runs on each node.
    """

    name: str
    describe: Callable[[Context], ServiceArgs]
    secrets: Callable[[PlatformSettings], Mapping[str, Secret]] = lambda _: {}
    target: Target | None = None
    route: Route | None = None
    unit_of: str | None = None
    part: Part | None = None
    source: str | None = None
    otlp_endpoint: str | None = None
    alerts_address: str | None = None
    uses: Sequence[str] = ()
    reads: Callable[[PlatformSettings], Sequence[HostPath]] = lambda _: ()


def of_prefix(prefix: str, settings: PlatformSettings) -> dict[str, Secret]:
    """Those of a stack's secrets whose names begin so, as files of these names."""
    return {name: Secret(name) for name in needed_secrets(settings) if name.startswith(prefix)}


def go_memory(memory_mb: int) -> dict[str, str]:
    """The environment in which a Go program collects its garbage before it meets the container's limit, in MiB."""
    return {"GOMEMLIMIT": f"{memory_mb * 85 // 100}MiB"}
