"""DNS records and certificates of the real program, with Pebble for Let's Encrypt and a fake Cloudflare.

The edge gets its certificates as in production: it orders them from the authority, proves each name by a DNS record
created through Cloudflare's API, and serves the routes with them.
"""

import dataclasses
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
import httpx
import pytest

from infra.optional_services import Services
from tests.stacks import StackFactory
from tests.vps import pebble
from tests.vps.cloudflare import ZONE_ID, Cloudflare
from tests.vps.pebble import Pebble
from tools.console.steps import Report
from tools.machine import docker_bridge
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack.local_stack import Stack

DOMAIN = "vps.test"
API = f"sandbox.{DOMAIN}"
DASHBOARD = f"traefik.{DOMAIN}"
ADDRESSES = {"A": "203.0.113.10", "AAAA": "2001:db8::10"}
SECONDS = 60
PROGRAM = {"environment": "bash", "code": "true"}
SEEN_BY_CLOUDFLARE = ("203.0.113.7", "198.51.100.1, 203.0.113.7", "203.0.113.8")
FROM_CLOUDFLARE = f"""
import http.client, json, ssl, sys
edge, host, *visitors = sys.argv[1:]
for visitor in visitors:
    # Other tests check the certificate.
    context = ssl._create_unverified_context()
    connection = http.client.HTTPSConnection(edge, 8443, context=context, timeout=20)
    headers = {{"Host": host, "X-Forwarded-For": visitor, "Content-Type": "application/json"}}
    connection.request("POST", "/execute", json.dumps({PROGRAM!r}), headers)
    print(connection.getresponse().status)
"""
CLOUDFLARE_SUBNET = "198.41.128.0/24"
"""A part of Cloudflare's ranges, as the subnet of an internal Docker network."""


@dataclass(frozen=True)
class Site:
    """The stack with its authority and its Cloudflare, and the ports for visitors."""

    stack: Stack
    cloudflare: Cloudflare
    authority: Pebble
    http_port: int
    https_port: int

    def get(self, host: str, path: str, verify: ssl.SSLContext) -> httpx.Response:
        with httpx.Client(verify=verify, trust_env=False, timeout=10) as client:
            return client.get(
                f"https://127.0.0.1:{self.https_port}{path}",
                headers={"host": host},
                extensions={"sni_hostname": host},
            )


@pytest.fixture(scope="module")
def bridge(prepared: Preparation) -> str:
    """An address of this machine that only its containers reach."""
    return docker_bridge.address(prepared.engine.client())


@pytest.fixture(scope="module")
def cloudflare(bridge: str) -> Iterator[Cloudflare]:
    made = Cloudflare(bridge, DOMAIN, token="token-of-the-test")
    yield made
    made.close()


@pytest.fixture(scope="module")
def authority(bridge: str, cloudflare: Cloudflare, report: Report, tmp_path_factory: Any) -> Iterator[Pebble]:
    made = Pebble(pebble.ensure(report), bridge, cloudflare.name_server, tmp_path_factory.mktemp("pebble"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def trust(authority: Pebble) -> ssl.SSLContext:
    """The TLS context of a visitor who trusts only the authority."""
    return ssl.create_default_context(cadata=authority.root())


@pytest.fixture(scope="module")
def site(
    new_stack: StackFactory, cloudflare: Cloudflare, authority: Pebble, trust: ssl.SSLContext, report: Report
) -> Site:
    http_port, https_port = free_port(), free_port()
    stack = new_stack(
        edge={
            "domain": DOMAIN,
            "api_hosts": [API],
            "http_port": http_port,
            "tls": {
                "port": https_port,
                "email": f"operator@{DOMAIN}",
                "authority": {"url": authority.url, "certificate": authority.certificate},
                "name_servers": [cloudflare.name_server],
            },
        },
        dns={
            "zone_id": ZONE_ID,
            "ipv4": ADDRESSES["A"],
            "ipv6": ADDRESSES["AAAA"],
            "base_url": cloudflare.base_url,
        },
        sandbox={"environments": ["bash"], "requests_per_minute": 1},
        services={name: {"enabled": False} for name in Services.model_fields},
    )
    stack.set_secret("vps:cloudflareToken", cloudflare.token, report)
    stack.up(report)
    return Site(stack, cloudflare, authority, http_port, https_port)


def test_every_name_has_its_records(site: Site) -> None:
    for kind, address in ADDRESSES.items():
        kept = site.cloudflare.kept(kind)
        assert {name: record["content"] for name, record in kept.items()} == {API: address, DASHBOARD: address}
        assert all(record["proxied"] for record in kept.values())
    assert site.cloudflare.kept("CAA")[DOMAIN]["data"] == {"flags": 0, "tag": "issue", "value": "letsencrypt.org"}


@pytest.mark.parametrize("host", [API, DASHBOARD])
def test_a_route_answers_over_https_with_a_certificate_of_the_authority(
    site: Site, trust: ssl.SSLContext, host: str
) -> None:
    answer = _until_trusted(site, host, trust)
    # A browser that has seen this header no longer connects without TLS.
    assert answer.headers["strict-transport-security"] == "max-age=31536000"
    assert ("TXT", f"_acme-challenge.{host}") in site.cloudflare.history


def test_the_proofs_are_removed_and_the_keys_are_elliptic(site: Site, trust: ssl.SSLContext) -> None:
    _until_trusted(site, API, trust)
    assert site.cloudflare.kept("TXT") == {}
    shown = subprocess.run(
        ["openssl", "s_client", "-connect", f"127.0.0.1:{site.https_port}", "-servername", API],
        input="",
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    ).stdout
    text = subprocess.run(
        ["openssl", "x509", "-noout", "-text"], input=shown, capture_output=True, text=True, check=True
    )
    assert "ASN1 OID: prime256v1" in text.stdout


def test_http_redirects_to_https(site: Site) -> None:
    answer = httpx.get(f"http://127.0.0.1:{site.http_port}/health", headers={"host": API}, trust_env=False)
    assert answer.status_code == httpx.codes.MOVED_PERMANENTLY
    assert answer.headers["location"] == f"https://{API}:{site.https_port}/health"


def test_a_restart_orders_no_new_certificate(site: Site, prepared: Preparation, trust: ssl.SSLContext) -> None:
    _until_trusted(site, API, trust)
    before = len(site.cloudflare.history)
    prepared.engine.client().containers.get(f"{site.stack.prefix}-traefik").restart()
    _until_trusted(site, API, trust)
    assert len(site.cloudflare.history) == before


def test_the_rate_limit_counts_the_visitor_that_cloudflare_names(
    site: Site, prepared: Preparation, trust: ssl.SSLContext
) -> None:
    _until_trusted(site, API, trust)
    client: Any = prepared.engine.client()
    edge = client.containers.get(f"{site.stack.prefix}-traefik")
    subnet = docker.types.IPAMPool(subnet=CLOUDFLARE_SUBNET)
    network = client.networks.create(
        f"{site.stack.prefix}-cloudflare", internal=True, ipam=docker.types.IPAMConfig(pool_configs=[subnet])
    )
    try:
        network.connect(edge)
        edge.reload()
        address = edge.attrs["NetworkSettings"]["Networks"][network.name]["IPAddress"]
        said = client.containers.run(
            prepared.images.references["app"],
            entrypoint=["python3", "-c", FROM_CLOUDFLARE, address, API, *SEEN_BY_CLOUDFLARE],
            network=network.name,
            remove=True,
        )
    finally:
        network.disconnect(edge, force=True)
        network.remove()
    # Each visitor may run one program a minute. A forged address stands before Cloudflare's entry and is ignored.
    assert said.split() == [b"200", b"429", b"200"]


def test_a_visitor_address_from_anyone_else_is_ignored(site: Site, trust: ssl.SSLContext) -> None:
    _until_trusted(site, API, trust)
    found = []
    with httpx.Client(verify=trust, trust_env=False, timeout=10) as client:
        for claim in ("203.0.113.21", "203.0.113.22"):
            answer = client.post(
                f"https://127.0.0.1:{site.https_port}/execute",
                json=PROGRAM,
                headers={"host": API, "x-forwarded-for": claim},
                extensions={"sni_hostname": API},
            )
            found.append(answer.status_code)
    assert found == [200, 429]


def test_a_second_up_would_change_nothing(site: Site, report: Report) -> None:
    site.stack.preview(report, "--expect-no-changes")


def test_a_record_removed_by_hand_is_detected(site: Site, report: Report) -> None:
    """The next test's `up` restores it."""
    assert not site.stack.has_drifted(report)
    lost = site.cloudflare.kept("A")[API]["id"]
    del site.cloudflare.records[lost]
    assert site.stack.has_drifted(report)
    site.stack.refresh(report)


@pytest.fixture
def another_authority(bridge: str, cloudflare: Cloudflare, report: Report, tmp_path: Path) -> Iterator[Pebble]:
    made = Pebble(pebble.ensure(report), bridge, cloudflare.name_server, tmp_path, port=14001)
    yield made
    made.close()


def test_the_next_up_restores_the_record_and_changes_to_the_authority_of_a_setting(
    site: Site, another_authority: Pebble, prepared: Preparation, trust: ssl.SSLContext, report: Report
) -> None:
    _until_trusted(site, API, trust)
    edge: Any = site.stack.overrides["edge"]
    named = {"url": another_authority.url, "certificate": another_authority.certificate}
    overrides = {**site.stack.overrides, "edge": {**edge, "tls": {**edge["tls"], "authority": named}}}
    changed = dataclasses.replace(site.stack, overrides=overrides)
    changed.configure(prepared.images, report)
    changed.up(report)
    assert site.cloudflare.kept("A")[API]["content"] == ADDRESSES["A"]
    trusts_another = ssl.create_default_context(cadata=another_authority.root())
    # Both names, so that no challenge is still running when the stack is destroyed.
    for name in (API, DASHBOARD):
        _until_trusted(site, name, trusts_another)
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        site.get(API, "/health", trust)


def test_destroy_removes_every_record(site: Site, report: Report) -> None:
    site.stack.destroy(report)
    assert site.cloudflare.records == {}


def _until_trusted(site: Site, host: str, trust: ssl.SSLContext) -> httpx.Response:
    """The answer of a route, once the edge serves a valid certificate for its name."""
    deadline = time.monotonic() + SECONDS
    while True:
        try:
            return site.get(host, "/health", trust)
        except httpx.TransportError as error:
            assert time.monotonic() < deadline, f"{error}\n{site.authority.log}"
            time.sleep(0.3)
