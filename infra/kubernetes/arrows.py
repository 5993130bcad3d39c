"""Who connects to whom: the arrows between the services, from what each service says of itself."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from infra.service import Service
from infra.services.edge import INSIDE_URL
from infra.settings import STACKS_STORE

_EDGE, _API, _PROMETHEUS, _GRAFANA, _BLACKBOX = "traefik", "api", "prometheus", "grafana", "blackbox-exporter"


@dataclass(frozen=True, order=True)
class Arrow:
    """One service connects to a TCP port of another one."""

    source: str
    target: str
    port: int


def arrows(services: Sequence[Service]) -> list[Arrow]:
    """The arrows between services that run."""
    running = {service.name for service in services}
    found = {Arrow(source, *place) for source, address in _uses(services) if (place := _place(address))}
    return sorted(it for it in found if {it.source, it.target} <= running and it.source != it.target)


def ports(service: str, services: Sequence[Service]) -> list[int]:
    """The ports of a service that others connect to."""
    return sorted({arrow.port for arrow in arrows(services) if arrow.target == service})


def _uses(services: Iterable[Service]) -> Iterator[tuple[str, str]]:
    """A service and the URL or address of what it uses."""
    yield _BLACKBOX, INSIDE_URL
    yield _API, STACKS_STORE
    for service in services:
        if service.route:
            yield _EDGE, service.route.target
        if service.target:
            yield _PROMETHEUS, service.target.address
        if service.alerts_address:
            yield _PROMETHEUS, service.alerts_address
        if service.source:
            yield _GRAFANA, service.source
        if service.otlp_endpoint:
            yield _API, service.otlp_endpoint
            yield _EDGE, service.otlp_endpoint


def _place(address: str) -> tuple[str, int] | None:
    """Host and port; None for what is no address, such as Traefik's own `api@internal`."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    return (parts.hostname, parts.port) if parts.hostname and parts.port else None
