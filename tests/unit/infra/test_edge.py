"""The edge's password file, certificates, URLs and routes."""

from ipaddress import IPv6Address
from typing import Any
from urllib.parse import urlsplit

import bcrypt
import pytest
from pydantic import ValidationError

from app.wire.problems import Problem
from infra.config import parse_settings
from infra.service import Route
from infra.services.edge import INSIDE_URL, dynamic_config, password_line, static_config, url
from infra.settings import Authority, Edge, Tls
from tests.program import platform_config


def test_the_password_line_is_a_bcrypt_hash_that_only_changes_with_the_password() -> None:
    line = password_line("correct horse battery staple")
    user, hashed = line.strip().split(":")
    assert user == "admin"
    assert bcrypt.checkpw(b"correct horse battery staple", hashed.encode())
    assert line == password_line("correct horse battery staple")
    assert line != password_line("another")


def test_the_default_port_of_a_scheme_is_left_out_of_urls() -> None:
    def public(edge: Edge) -> str:
        return url(parse_settings(platform_config("local"), "local").model_copy(update={"edge": edge}), "example.com")

    assert public(Edge(http_port=8000)) == "http://example.com:8000"
    assert public(Edge(http_port=80)) == "http://example.com"
    assert public(Edge(http_port=80, tls=Tls(email="a@example.com"))) == "https://example.com"


def _edge(**tls: Any) -> Edge:
    settings = Tls(email="a@example.com", **tls)
    return Edge(domain="example.com", api_hosts=("sandbox.example.com",), tls=settings)


def _acme(edge: Edge) -> Any:
    return static_config(edge)["certificatesResolvers"]["acme"]["acme"]


def test_open_requests_delay_the_next_edge_for_less_than_docker_waits_before_it_kills_the_former() -> None:
    entries = [entry for name, entry in static_config(_edge())["entryPoints"].items() if name != "internal"]
    assert [entry["transport"]["lifeCycle"]["graceTimeOut"] for entry in entries] == ["3s"] * len(entries)


def test_the_default_is_the_staging_authority_with_elliptic_curve_keys() -> None:
    acme = _acme(_edge())
    assert acme["caServer"] == "https://acme-staging-v02.api.letsencrypt.org/directory"
    assert acme["keyType"] == "EC256"
    assert "caCertificates" not in acme
    assert _acme(_edge(authority="production"))["caServer"] == "https://acme-v02.api.letsencrypt.org/directory"


def test_a_private_authority_is_checked_against_its_certificate() -> None:
    authority = Authority(url="https://ca.example.com/dir", certificate="-----BEGIN CERTIFICATE-----\n")
    acme = _acme(_edge(authority=authority, name_servers=["10.0.0.53:53"]))
    assert (acme["caServer"], acme["caCertificates"]) == (authority.url, ["/etc/traefik/authority.pem"])
    assert acme["dnsChallenge"]["resolvers"] == ["10.0.0.53:53"]


def test_each_authority_has_its_own_storage() -> None:
    own = [
        Authority(url=f"https://{place}", certificate="-----BEGIN CERTIFICATE-----\n") for place in ("a:1/d", "a:2/d")
    ]
    files = [_acme(_edge(authority=authority))["storage"] for authority in ("staging", "production", *own)]
    assert files == [f"/certificates/acme-{name}.json" for name in ("staging", "production", "a-1-d", "a-2-d")]


def test_a_wildcard_is_one_certificate_for_all_names() -> None:
    tls = static_config(_edge(wildcard=True))["entryPoints"]["websecure"]["http"]["tls"]
    assert tls["domains"] == [{"main": "example.com", "sans": ["*.example.com"]}]


def test_an_edge_that_is_published_over_ipv6_alone_still_listens_inside_over_ipv4() -> None:
    settings = Edge(ipv4=None, ipv6=IPv6Address("::1"))
    ports = [entry["address"] for entry in static_config(settings)["entryPoints"].values()]
    assert f":{urlsplit(INSIDE_URL).port}" in ports
    route = Route("http://api:8000", "none", requests_per_minute=1)
    assert dynamic_config(settings, {"api": route})["http"]["routers"]["api"]["entryPoints"] == ["web", "web6"]


def test_a_wildcard_that_does_not_cover_the_api_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"and not a\.b\.example\.com"):
        Edge(domain="example.com", api_hosts=("a.b.example.com",), tls=Tls(email="a@example.com", wildcard=True))


def test_only_a_route_with_problems_has_them_and_keeps_its_rate() -> None:
    routes = {
        "api": Route("http://api:8000", "none", requests_per_minute=30, problems=True),
        "prometheus": Route("http://prometheus:9090", "password", requests_per_minute=600),
        "jaeger": Route("http://jaeger:16686", "password", requests_per_minute=600, problems=True),
    }
    http = dynamic_config(Edge(), routes)["http"]
    chains = {name: router["middlewares"] for name, router in http["routers"].items()}
    assert chains == {
        "api": ["security-headers", "refused-rate-api", "rate-api", "admitted", "unreachable"],
        "prometheus": ["security-headers", "rate-prometheus", "password"],
        "jaeger": [
            "security-headers",
            *("refused-rate-jaeger", "rate-jaeger", "admitted", "unreachable"),
            "password",
        ],
    }
    answers = [http["middlewares"][name]["plugin"]["problems"] for name in ("refused-rate-api", "answer-unreachable")]
    found = {status: Problem.model_validate_json(text) for each in answers for status, text in each["problems"].items()}
    assert {status: (it.status, it.code, it.retry_after) for status, it in found.items()} == {
        "429": (429, "rate_limited", 2),
        "502": (502, "bad_gateway", 5),
        "504": (504, "gateway_timeout", 5),
    }
    assert http["middlewares"]["unreachable"]["errors"]["status"] == ["502", "504"]


def test_with_several_units_a_refused_connection_is_tried_again() -> None:
    routes = {"api": Route("http://api:8000", "none", requests_per_minute=30, problems=True)}
    http = dynamic_config(Edge(), routes, several=True)["http"]
    assert http["routers"]["api"]["middlewares"][-2:] == ["unreachable", "again"]
    assert set(http["middlewares"]["again"]) == {"retry"}
