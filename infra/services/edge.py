"""The edge: Traefik, the only service that publishes ports. Its routes come from a file, not from Docker."""

import copy
import hashlib
import math
import re
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import pulumi
import yaml

from app.backup.settings import Copying
from app.wire.problems import Code, Refused
from infra.service import (
    SECRETS,
    Config,
    Context,
    Health,
    Mount,
    Port,
    Route,
    Secret,
    Service,
    ServiceArgs,
    Target,
    Volume,
    WatchedFile,
)
from infra.settings import Authority, PlatformSettings, Tls
from infra.settings import Edge as EdgeSettings
from monitoring.files import load

USER = "admin"
_CPUS = 1.0
_METRICS_PORT = 8082
_WEB_PORT = 8080
INSIDE_URL = f"http://traefik:{_WEB_PORT}"
"""The URL of the edge on the internal networks."""

_RESOLVER = "acme"
_CONFIG = "/etc/traefik"
_ROUTES = "/etc/traefik-routes"
_ROUTES_FILE = "routes.yml"
_CERTIFICATES = "/certificates"
_BESIDE_CERTIFICATE = f"{_CERTIFICATES}/routes"
"""Where the routes are, if a file has the certificate: Traefik reads both again when anything changes in the directory
above, and does not see a certificate change elsewhere."""
_PLUGIN = "problems"
_FOLDER = Path(__file__).parent
_PLUGIN_FOLDER = _FOLDER / "traefik_problems"
_PLUGIN_FILES = (".traefik.yml", "problems.go")
_RETRY_SECONDS = 5
_AGAIN = {"retry": {"attempts": 10, "initialInterval": "200ms"}}
"""A cluster learns after one or two seconds that a unit was killed. Until then, some connections to it are refused.
They are tried again for 2 to 4 seconds; what was sent once is not sent again."""
_HEALTH = {"interval": "3s", "timeout": "2s"}
"""Of units, where there are several. Without one that is healthy, Traefik would answer 503 with a text of its own."""
_CERTIFICATE = {"certFile": f"{_CERTIFICATES}/tls.crt", "keyFile": f"{_CERTIFICATES}/tls.key"}
_AUTHORITY = "authority.pem"
_AUTHORITIES = {
    "staging": "https://acme-staging-v02.api.letsencrypt.org/directory",
    "production": "https://acme-v02.api.letsencrypt.org/directory",
}
_HSTS = {"stsSeconds": 31536000, "stsIncludeSubdomains": False, "forceSTSHeader": True}
"""Forced: behind a Gateway, the edge itself is asked over HTTP."""


@dataclass(frozen=True)
class EntryPoint:
    """A port for visitors: its number in the container and on the host, and the host's address if it is published."""

    name: str
    internal: int
    external: int
    address: IPv4Address | IPv6Address | None
    secure: bool


def describe(context: Context) -> ServiceArgs:
    """The edge alone is on the public network. It is on each internal one too, to reach the services it publishes."""
    settings, proxies = context.settings.edge, context.proxies_in_front
    issued = settings.tls is not None and context.settings.issuer is not None
    config = {
        "traefik.yml": yaml.safe_dump(static_config(settings, proxies, context.otlp_endpoint, issued=issued)),
        **{f"plugins-local/src/{_PLUGIN}/{name}": (_PLUGIN_FOLDER / name).read_text() for name in _PLUGIN_FILES},
    }

    apis = ["api", *(it.name for it in context.services if it.unit_of == "api" and not it.part)]
    parts = [it for it in context.services if it.part]

    def routes(hosts: Mapping[str, str]) -> str:
        hosts_of = {"api": [hosts[it] for it in apis], **{it.name: [hosts[it.name]] for it in parts}}
        several = context.settings.cluster is not None or len(apis) > 1
        https = context.settings.https
        return yaml.safe_dump(
            dynamic_config(settings, context.routes, proxies, hosts_of, parts=parts, several=several, https=https)
            | ({"tls": {"certificates": [_CERTIFICATE]}} if issued else {})
        )

    # As many threads as processors: with more, Go spends a sixth of a request's processor time on waking them.
    environment = {"GOMAXPROCS": str(math.ceil(_CPUS))}
    mounts: list[Mount] = []
    if settings.tls and not issued:
        environment["CF_DNS_API_TOKEN_FILE"] = f"{SECRETS}/cloudflare-token"
        if context.settings.dns:
            environment["CLOUDFLARE_BASE_URL"] = context.settings.dns.base_url
        if isinstance(settings.tls.authority, Authority):
            config[_AUTHORITY] = settings.tls.authority.certificate
        mounts.append(Mount(Volume("certificates-data", copying=Copying(steady=("*",))), _CERTIFICATES, in_image=False))
    mounts += [route.files.mount for route in context.routes.values() if route.files]
    return ServiceArgs(
        image="traefik",
        entrypoint=["traefik"],
        command=[f"--configFile={_CONFIG}/traefik.yml"],
        # Traefik looks for local plugins below the folder in which it is started.
        working_dir=_CONFIG,
        health=Health(["traefik", "healthcheck", f"--configFile={_CONFIG}/traefik.yml"]),
        memory_mb=256,
        cpus=_CPUS,
        networks=["public", *context.orchestrator.internal_networks()],
        environment=environment,
        config=Config(_CONFIG, config),
        watched=WatchedFile(
            _BESIDE_CERTIFICATE if issued else _ROUTES,
            _ROUTES_FILE,
            pulumi.Output.all(
                **{it: context.orchestrator.host(it) for it in (*apis, *(it.name for it in parts))}
            ).apply(routes),
        ),
        certificate=_CERTIFICATES if issued else None,
        mounts=mounts,
        ports=[
            Port(entry.internal, entry.external, str(entry.address))
            for entry in entry_points(settings)
            if entry.address
        ],
    )


def secrets(settings: PlatformSettings) -> dict[str, Secret]:
    """The edge's own: the dashboards' password, and the token with which it proves that a domain is its own."""
    acme = settings.edge.tls and not settings.issuer
    token = {"cloudflare-token": Secret("cloudflare_token", at_start=True)} if acme else {}
    return {"users": Secret("dashboard_password", password_line, at_start=True), **token}


METRICS = Target(f"traefik:{_METRICS_PORT}")
TRAEFIK = Service(
    "traefik",
    describe,
    secrets,
    target=METRICS,
    route=Route("api@internal", "password", requests_per_minute=600),
)


def hosts(settings: EdgeSettings, service: str) -> Sequence[str]:
    """The host names of a service's route. The first one is shown in URLs."""
    return settings.api_hosts if service == "api" else [settings.host(service)]


def certified(settings: EdgeSettings, services: Iterable[str]) -> list[str]:
    """The names in one certificate for the routes of these services."""
    if settings.tls and settings.tls.wildcard:
        return [settings.domain, f"*.{settings.domain}"]
    return sorted({host for service in services for host in hosts(settings, service)})


def url(platform: PlatformSettings, host: str) -> str:
    """The public URL of a host name, without the port where it is the scheme's default."""
    settings = platform.edge
    scheme, usual = ("https", 443) if platform.https else ("http", 80)
    if platform.gateway:
        port = platform.gateway.port or usual
    else:
        port = settings.tls.port if settings.tls else settings.http_port
    return f"{scheme}://{host}" if port == usual else f"{scheme}://{host}:{port}"


def entry_points(settings: EdgeSettings) -> list[EntryPoint]:
    """The ports for visitors, over HTTP and HTTPS.

    IPv6 uses its own container ports: the provider keys ports by container port and would show a diff on every `up`.
    The ports for IPv4 exist even where they are not published, for INSIDE_URL.
    """
    found = [EntryPoint("web", _WEB_PORT, settings.http_port, settings.ipv4, secure=False)]
    if settings.ipv6:
        found.append(EntryPoint("web6", 8086, settings.http_port, settings.ipv6, secure=False))
    if settings.tls:
        found.append(EntryPoint("websecure", 8443, settings.tls.port, settings.ipv4, secure=True))
        if settings.ipv6:
            found.append(EntryPoint("websecure6", 8446, settings.tls.port, settings.ipv6, secure=True))
    return found


def password_line(password: str) -> str:
    """The password as a line of an htpasswd file.

    The salt is taken from the password, so that the same password gives the same line and the edge is not replaced
    on every `up`. That is sound for a password that no one else has: these are generated for one stack.
    """
    seed = hashlib.sha256(f"htpasswd:{password}".encode()).digest()[:16]
    # bcrypt's base64 has its own alphabet. A cost of 10 is about 50 ms for one check.
    standard = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    own = b"./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    salt = b"$2b$10$" + b64encode(seed).rstrip(b"=").translate(bytes.maketrans(standard, own))
    return f"{USER}:{bcrypt.hashpw(password.encode(), salt).decode()}\n"


def static_config(
    settings: EdgeSettings,
    trusted_proxies: Sequence[str] = (),
    otlp_endpoint: str | None = None,
    *,
    issued: bool = False,
) -> dict[str, Any]:
    """Traefik's start-up configuration. The certificate is `issued` by another, or Traefik gets some by ACME."""
    forwarded = {"forwardedHeaders": {"trustedIPs": list(trusted_proxies)}} if trusted_proxies else {}
    values = {"metrics_port": _METRICS_PORT, "routes": f"{_ROUTES}/{_ROUTES_FILE}", "plugin": _PLUGIN}
    config: dict[str, Any] = load(_FOLDER / "traefik.yml", **values)
    if otlp_endpoint:
        config["tracing"] = {"otlp": {"http": {"endpoint": f"{otlp_endpoint}/v1/traces"}}}
    for entry in entry_points(settings):
        made = config["entryPoints"][entry.name] = load(_FOLDER / "entry_point.yml", port=entry.internal) | forwarded
        if settings.tls and entry.secure:
            made["http"]["tls"] = {} if issued else {"certResolver": _RESOLVER}
            if settings.tls.wildcard and not issued:
                made["http"]["tls"]["domains"] = [{"main": settings.domain, "sans": [f"*.{settings.domain}"]}]
        elif settings.tls:
            redirect = {"to": f":{settings.tls.port}", "scheme": "https", "permanent": True}
            made["http"]["redirections"] = {"entryPoint": redirect}
    if issued:
        config["providers"]["file"] = {"directory": _CERTIFICATES, "watch": True}
    elif settings.tls:
        config["certificatesResolvers"] = {_RESOLVER: {"acme": _acme(settings.tls)}}
    return config


def _acme(tls: Tls) -> dict[str, Any]:
    """The certificate authority, and the proof that the names belong to the operator (DNS-01)."""
    challenge: dict[str, Any] = {"provider": "cloudflare"}
    if tls.name_servers:
        challenge["resolvers"] = list(tls.name_servers)
        challenge["propagation"] = {"disableANSChecks": True, "requireAllRNS": True}
    acme: dict[str, Any] = {
        "email": tls.email,
        "storage": f"{_CERTIFICATES}/{_storage(tls)}",
        "keyType": "EC256",
        "dnsChallenge": challenge,
    }
    if isinstance(tls.authority, Authority):
        return acme | {"caServer": tls.authority.url, "caCertificates": [f"{_CONFIG}/{_AUTHORITY}"]}
    return acme | {"caServer": _AUTHORITIES[tls.authority]}


def _storage(tls: Tls) -> str:
    """The file with the ACME account and the certificates. Each authority has its own.

    With one for all, Traefik would serve what the former authority issued until that is due.
    """
    authority = tls.authority
    name = re.sub(r"[^\w.]+", "-", authority.url.partition("//")[2]) if isinstance(authority, Authority) else authority
    return f"acme-{name}.json"


def dynamic_config(
    settings: EdgeSettings,
    routes: Mapping[str, Route],
    trusted_proxies: Sequence[str] = (),
    hosts_of: Mapping[str, Sequence[str]] = MappingProxyType({}),
    *,
    parts: Sequence[Service] = (),
    several: bool = False,
    https: bool = False,
) -> dict[str, Any]:
    """Routers, services and middlewares for the routes. Rate limits count visitors, not the proxies in front.

    `hosts_of` a service are its containers, in place of the host in its route's target. `parts` are services that serve
    a part of one of the routes. With `several` units behind one name, a connection that is refused is tried again. With
    `https` browsers are told to use nothing else.
    """
    visitor = {"sourceCriterion": {"ipStrategy": {"excludedIPs": list(trusted_proxies)}}} if trusted_proxies else {}
    config: dict[str, Any] = load(_FOLDER / "routes.yml", secrets=SECRETS)
    routers, services, middlewares = (config["http"][kind] for kind in ("routers", "services", "middlewares"))
    if https:
        middlewares["security-headers"]["headers"] |= _HSTS
    middlewares["admitted"] = _plugin("admitted")
    middlewares["answer-unreachable"] = _plugin(
        "answer",
        Refused(Code.BAD_GATEWAY, "The API is down. Try again later.", _RETRY_SECONDS),
        Refused(Code.GATEWAY_TIMEOUT, "The API did not answer in time. Try again later.", _RETRY_SECONDS),
    )
    if several:
        middlewares["again"] = _AGAIN
    for service, route in routes.items():
        rate = f"rate-{service}"
        limit = {"average": route.requests_per_minute, "period": "1m", "burst": route.requests_per_minute}
        middlewares[rate] = {"rateLimit": limit | visitor}
        chain = [rate]
        if route.problems:
            refused = f"refused-{rate}"
            retry = math.ceil(60 / route.requests_per_minute)
            too_many = Refused(Code.RATE_LIMITED, "Too many requests come from this address.", retry)
            middlewares[refused] = _plugin("limit", too_many)
            chain = [refused, rate, "admitted", "unreachable", *(["again"] if several else [])]
        if route.authentication == "password":
            chain.append("password")
        if route.files:
            middlewares[f"files-{service}"] = _plugin("files", folder=route.files.mount.path, files=route.files.names)
            chain.append(f"files-{service}")
        internal = route.target.endswith("@internal")
        routers[service] = {
            "rule": " || ".join(f"Host(`{host}`)" for host in hosts(settings, service)),
            "entryPoints": [entry.name for entry in entry_points(settings) if entry.secure == bool(settings.tls)],
            "middlewares": ["security-headers", *chain],
            "service": route.target if internal else service,
        }
        if not internal:
            servers = _servers(route.target, hosts_of.get(service))
            services[service] = {"loadBalancer": {"servers": servers}}
            if len(servers) > 1:
                services[service]["loadBalancer"]["healthCheck"] = _HEALTH | {"path": route.health_path}
                fallen = f"{service}-or-unreachable"
                services[fallen] = {"failover": {"service": service, "fallback": "unreachable"}}
                routers[service]["service"] = fallen
    for it in parts:
        if it.part and it.unit_of:
            whole, path = copy.deepcopy(routers[it.unit_of]), it.part.path
            # Traefik asks the router with the longest rule first.
            rule = f"({whole['rule']}) && (Path(`{path}`) || PathPrefix(`{path}/`))"
            routers[it.name] = {**whole, "rule": rule, "service": it.name}
            services[it.name] = {"loadBalancer": {"servers": _servers(it.part.target, hosts_of.get(it.name))}}
    return config


def _servers(target: str, hosts: Sequence[str] | None) -> list[dict[str, str]]:
    if not hosts:
        return [{"url": target}]
    return [{"url": urlsplit(target)._replace(netloc=f"{host}:{urlsplit(target).port}").geturl()} for host in hosts]


def _plugin(role: str, *refusals: Refused, **options: Any) -> dict[str, Any]:
    """A middleware of our plugin, which answers with the problem documents of these refusals."""
    if problems := {str(it.problem.status): it.problem.model_dump_json(exclude_none=True) for it in refusals}:
        # Traefik does not take an empty map.
        options["problems"] = problems
    return {"plugin": {_PLUGIN: {"role": role, **options}}}
