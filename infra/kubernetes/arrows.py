"""Who connects to whom: the arrows between the services, from what each service says of itself."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from infra.cluster import ADAPTER
from infra.service import Service
from infra.services import loki, prometheus
from infra.services.edge import INSIDE_URL
from infra.settings import STACKS_STORE

_EDGE, _API, _PROMETHEUS, _GRAFANA, _BLACKBOX = "traefik", "api", "prometheus", "grafana", "blackbox-exporter"
_COLLECTOR = "collector"


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


def ports(service: str, services: Sequence[Service], scraped: bool = False) -> list[int]:
    """The ports of a service that others connect to. `scraped`: a Prometheus of the cluster's asks for metrics."""
    places = [_place(it.target.address) for it in services if scraped and it.target]
    of_metrics = {place[1] for place in places if place and place[0] == service}
    return sorted({arrow.port for arrow in arrows(services) if arrow.target == service} | of_metrics)


def _uses(services: Sequence[Service]) -> Iterator[tuple[str, str]]:
    """A service and the URL or address of what it uses."""
    yield _BLACKBOX, INSIDE_URL
    yield _COLLECTOR, loki.ADDRESS
    yield ADAPTER, prometheus.URL
    apis = [it.name for it in services if _API in (it.name, it.unit_of)]
    for api in apis:
        yield api, STACKS_STORE
    for service in services:
        yield from ((service.name, url) for url in service.uses)
        if service.route:
            yield _EDGE, service.route.target
        if service.part:
            yield _EDGE, service.part.target
        if service.target:
            yield _PROMETHEUS, service.target.address
        if service.alerts_address:
            yield _PROMETHEUS, service.alerts_address
        if service.source:
            yield _GRAFANA, service.source
        if service.otlp_endpoint:
            for source in (_EDGE, *apis):
                yield source, service.otlp_endpoint


def _place(address: str) -> tuple[str, int] | None:
    """Host and port; None for what is no address, such as Traefik's own `api@internal`."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    return (parts.hostname, parts.port) if parts.hostname and parts.port else None
