"""DNS records at Cloudflare, and the addresses of its proxy in the edge and the api, under mocks."""

from typing import Any

import pytest
import yaml

from app.api.settings import ApiSettings
from infra.cloudflare import RANGES
from infra.config import SettingsError, parse_settings
from infra.dns import caa_names
from tests.program import Resource, containers, platform_config, run_program, watched_file

ZONE = {"zone_id": "0" * 32, "ipv4": "203.0.113.10", "ipv6": "2001:db8::10"}
RECORD = "cloudflare:index/dnsRecord:DnsRecord"


def records(resources: list[Resource]) -> list[dict[str, Any]]:
    return [resource.inputs for resource in resources if resource.type == RECORD]


@pytest.fixture(scope="module")
def proxied() -> list[Resource]:
    return run_program("prod", platform_config("prod", dns=ZONE))


def test_every_host_name_has_records_with_the_hosts_addresses(proxied: list[Resource]) -> None:
    routers = yaml.safe_load(_routes(proxied))["http"]["routers"]
    hosts = {part.split("`")[1] for router in routers.values() for part in router["rule"].split(" || ")}
    assert "sandbox.example.com" in hosts
    for kind, address in {"A": ZONE["ipv4"], "AAAA": ZONE["ipv6"]}.items():
        found = [record for record in records(proxied) if record["type"] == kind]
        assert {record["name"] for record in found} == hosts
        assert {(record["content"], record["proxied"], record["ttl"]) for record in found} == {(address, True, 1)}


def test_caa_records_name_the_authorities(proxied: list[Resource]) -> None:
    (caa,) = (record for record in records(proxied) if record["type"] == "CAA")
    assert (caa["name"], caa["data"]) == ("example.com", {"flags": 0, "tag": "issue", "value": "letsencrypt.org"})
    assert caa_names("example.com", ["a.example.com", "b.a.example.com", "notexample.com"]) == [
        "example.com",
        "notexample.com",
    ]


def test_without_the_proxy_nobodys_forwarded_headers_are_trusted() -> None:
    direct = {**ZONE, "ipv6": None, "proxied": False}
    resources = run_program("prod", platform_config("prod", dns=direct, host=None))
    found = [record for record in records(resources) if record["type"] != "CAA"]
    assert {(record["type"], record["proxied"], record["ttl"]) for record in found} == {("A", False, 300)}
    assert _proxies_of_the_api(resources) == ["172.30.0.0/24"]
    assert "forwardedHeaders" not in _traefik(resources)["/etc/traefik/traefik.yml"]
    assert "ipStrategy" not in _routes(resources)


def test_behind_the_proxy_its_forwarded_headers_are_trusted(proxied: list[Resource]) -> None:
    static = yaml.safe_load(_traefik(proxied)["/etc/traefik/traefik.yml"])
    for entry in ("web", "web6", "websecure", "websecure6"):
        assert static["entryPoints"][entry]["forwardedHeaders"] == {"trustedIPs": RANGES.networks}
    middlewares = yaml.safe_load(_routes(proxied))["http"]["middlewares"]
    rates = [content["rateLimit"] for content in middlewares.values() if "rateLimit" in content]
    assert rates
    for rate in rates:
        assert rate["sourceCriterion"] == {"ipStrategy": {"excludedIPs": RANGES.networks}}
    assert _proxies_of_the_api(proxied) == ["172.30.0.0/24", *RANGES.networks]


def test_with_an_open_firewall_only_the_proxys_forwarded_headers_are_trusted() -> None:
    host = platform_config("prod")["host"]
    open_to_all = {**host, "firewall": {**host["firewall"], "web_sources": "anyone"}}
    resources = run_program("prod", platform_config("prod", dns=ZONE, host=open_to_all))
    static = yaml.safe_load(_traefik(resources)["/etc/traefik/traefik.yml"])
    assert static["entryPoints"]["websecure"]["forwardedHeaders"] == {"trustedIPs": RANGES.networks}
    assert _proxies_of_the_api(resources) == ["172.30.0.0/24", *RANGES.networks]


@pytest.mark.parametrize("version", ["ipv4", "ipv6"])
def test_a_record_without_a_published_address_is_refused(version: str) -> None:
    edge = {**platform_config("prod")["edge"], version: None}
    with pytest.raises(SettingsError, match=f"dns.{version} is set and edge.{version} is not.*Set edge.{version}, or"):
        parse_settings(platform_config("prod", dns=ZONE, edge=edge), "prod")
    # Without `host`, the DNS records may point at a load balancer.
    parse_settings(platform_config("prod", dns=ZONE, edge=edge, host=None), "prod")


def test_without_dns_there_are_no_resources_at_cloudflare() -> None:
    resources = run_program("prod", platform_config("prod", dns=None))
    assert not [resource for resource in resources if "cloudflare" in resource.type]
    # The firewall admits Cloudflare's proxy alone, so its headers are trusted all the same.
    assert _proxies_of_the_api(resources) == ["172.30.0.0/24", *RANGES.networks]


@pytest.mark.parametrize(
    ("dns", "problem"),
    [
        ({"zone_id": "0" * 32}, "ipv4, ipv6 or both"),
        ({**ZONE, "zone_id": "example.com"}, "dns.zone_id"),
        ({**ZONE, "ipv4": "2001:db8::1"}, "dns.ipv4"),
        ({**ZONE, "proxied": False}, "the firewall would block them"),
    ],
)
def test_a_bad_zone_is_refused(dns: dict[str, Any], problem: str) -> None:
    with pytest.raises(SettingsError, match=problem):
        parse_settings(platform_config("prod", dns=dns), "prod")


def _traefik(resources: list[Resource]) -> dict[str, str]:
    loader = containers(resources, "config")["traefik"]
    return {upload["file"]: upload["content"] for upload in loader["uploads"]}


def _routes(resources: list[Resource]) -> str:
    return watched_file(resources, "traefik")


def _proxies_of_the_api(resources: list[Resource]) -> list[str]:
    entries: list[str] = containers(resources)["api"]["envs"]
    variables = dict(entry.split("=", 1) for entry in entries)
    return list(ApiSettings.read(variables).trusted_proxies)
