"""A simulated internet with a VPS, and a stack with the production settings for it."""

import contextlib
import dataclasses
import os
import secrets
import shutil
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from app.environments import ENVIRONMENTS
from tests.emulated.machine import EMULATED, SSH_SOURCE, TAP
from tests.stacks import StackFactory
from tests.vps import distributions, images, pebble
from tests.vps.cloudflare import ZONE_ID, Cloudflare
from tests.vps.emulated import EmulatedVps
from tests.vps.host import NamespaceVps
from tests.vps.kinds import Vps
from tests.vps.network import Namespace, Network, available
from tests.vps.operator import Operator
from tests.vps.pebble import Pebble
from tests.vps.visits import Visitor
from tests.waiting import SLOWNESS
from tools.console.steps import Report
from tools.machine.preparation import Preparation
from tools.paths import cache
from tools.stack.config import ONLY_CORE
from tools.stack.local_stack import Stack

DOMAIN = "vps.test"
API = f"sandbox.{DOMAIN}"
IMAGES = ("app", "executor", "traefik", "backup", "prometheus", "alertmanager", "loki", "jaeger")
IS_EMULATED = EMULATED in os.environ
RUN = tuple(name for name in ENVIRONMENTS if not (IS_EMULATED and name == "python-data"))
"""The environments of the VPS. Emulated, python-data imports its packages for longer than the executor waits: 120 s."""
READY = ("bash", "python", "node")
"""Environments with a sandbox that waits. The others' are made to order."""
METADATA = ("169.254.169.254", "fd00:ec2::254")


@dataclass(frozen=True)
class Internet:
    """The hosts of the internet.

    `cloud` is the provider's metadata service, `cloudflare` an address of Cloudflare's proxy, `authorities` runs
    Cloudflare's API, its name server and the ACME authority, and `storage` keeps backups.
    """

    vps: Namespace
    operator: Namespace
    cloudflare: Namespace
    attacker: Namespace
    cloud: Namespace
    authorities: Namespace
    storage: Namespace


@pytest.fixture(scope="session")
def internet() -> Iterator[Internet]:
    if reason := available():
        pytest.skip(f"a VPS can't be simulated here: {reason}")
    network = Network(f"vps-{secrets.token_hex(3)}")
    own = ("198.51.100.10", "2001:db8:1::10")
    try:
        yield Internet(
            vps=network.machine(TAP, *own) if IS_EMULATED else network.host("host", *own),
            operator=network.host("operator", "192.0.2.10", "2001:db8:2::10"),
            cloudflare=network.host("cloudflare", "173.245.48.10", "2400:cb00::10"),
            attacker=network.host("attacker", "203.0.113.66", "2001:db8:666::66"),
            cloud=network.host("cloud", *METADATA),
            authorities=network.host("authorities", "192.0.2.100", "2001:db8:3::100"),
            storage=network.host("storage", "192.0.2.150", "2001:db8:4::150"),
        )
    finally:
        network.close()


@pytest.fixture(scope="session")
def vps(internet: Internet, prepared: Preparation, report: Report) -> Iterator[Vps]:
    """A fresh VPS with sshd, which accepts the operator's key."""
    names = [prepared.images.references[name] for name in IMAGES]
    if IS_EMULATED:
        with contextlib.closing(EmulatedVps(internet.vps, prepared.engine, names, report)) as machine:
            machine.boot()
            yield machine
        return
    # On the file system of the images, whose files it hard-links. Not on a tmpfs, where overlays do not work.
    folder = Path(tempfile.mkdtemp(prefix="vps-", dir=cache()))
    try:
        stored = images.ensure(prepared.engine, names, "vps-images", report)
        host = NamespaceVps(internet.vps, folder, distributions.ensure(distributions.chosen(), report), stored)
        try:
            host.start()
            yield host
        finally:
            host.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def storage(internet: Internet, report: Report) -> Iterator[Vps]:
    """Another server with sshd, for backups."""
    folder = Path(tempfile.mkdtemp(prefix="vps-storage-", dir=cache()))
    host = NamespaceVps(internet.storage, folder, distributions.ensure(distributions.chosen(), report))
    try:
        host.start()
        yield host
    finally:
        host.close()


@pytest.fixture(scope="session")
def operator(internet: Internet, prepared: Preparation, report: Report) -> Operator:
    return Operator(internet.operator, prepared, report)


@pytest.fixture(scope="session")
def cloudflare(internet: Internet) -> Iterator[Cloudflare]:
    with internet.authorities.entered():
        made = Cloudflare(internet.authorities.ipv4, DOMAIN, token=secrets.token_urlsafe(24))
    yield made
    made.close()


@pytest.fixture(scope="session")
def authority(
    internet: Internet, cloudflare: Cloudflare, report: Report, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Pebble]:
    program = pebble.ensure(report)
    with internet.authorities.entered():
        made = Pebble(program, internet.authorities.ipv4, cloudflare.name_server, tmp_path_factory.mktemp("pebble"))
    yield made
    made.close()


@pytest.fixture(scope="session")
def trust(internet: Internet, authority: Pebble) -> ssl.SSLContext:
    """A TLS context that trusts only the ACME authority's root."""
    with internet.authorities.entered():
        return ssl.create_default_context(cadata=authority.root())


@pytest.fixture(scope="session")
def production(
    new_stack: StackFactory, operator: Operator, vps: Vps, cloudflare: Cloudflare, authority: Pebble
) -> Stack:
    """The stack of Pulumi.prod.yaml for this VPS, with the environments RUN, and with the status page as its only
    optional service: configured, but not up yet.
    """
    stack = new_stack(
        "prod",
        # In namespaces, the VPS has this machine's kernel, whose AppArmor it can't load profiles into.
        engine={
            "socket": "/var/run/docker.sock",
            "apparmor": IS_EMULATED,
            **({"cgroup_version": 2} if IS_EMULATED else {}),
        },
        host={
            "ssh": {
                "address": vps.namespace.ipv4,
                "host_key": vps.host_key,
                "identity_file": str(vps.identity),
            },
            "firewall": {
                "ssh_sources": ["192.0.2.0/24", "2001:db8:2::/64", *([SSH_SOURCE] if IS_EMULATED else [])],
                "rollback_seconds": round(6 * SLOWNESS),
            },
            "deploy_keys": [vps.public_key],
            # In namespaces, a swap file would be one of this machine.
            "swap_mb": 64 if IS_EMULATED else 0,
        },
        edge={
            "domain": DOMAIN,
            "api_hosts": [API],
            "tls": {
                "authority": {"url": authority.url, "certificate": authority.certificate},
                "name_servers": [cloudflare.name_server],
            },
        },
        dns={
            "zone_id": ZONE_ID,
            "ipv4": vps.namespace.ipv4,
            "ipv6": vps.namespace.ipv6,
            "base_url": cloudflare.base_url,
        },
        sandbox={
            "environments": list(RUN),
            "requests_per_minute": 1000,
            "pools": {name: {"min": int(name in READY), "max": 2} for name in RUN},
            "start_seconds": round(120 * SLOWNESS),
        },
        services={**ONLY_CORE, "status": {"enabled": True}},
        images={name: operator.prepared.images.references[name] for name in IMAGES},
    )
    stack.set_secret("vps:cloudflareToken", cloudflare.token, operator.report)
    return stack


@pytest.fixture
def stack(production: Stack, vps: Vps) -> Stack:
    """The stack, with the VPS's Docker, reached by its socket's path, which changes when the VPS restarts."""
    return dataclasses.replace(production, engine=vps.engine)


@pytest.fixture(scope="module")
def visitors(internet: Internet, trust: ssl.SSLContext) -> list[Visitor]:
    """Visitors through Cloudflare's proxy, one over IPv4 and one over IPv6."""
    return [Visitor(internet.cloudflare, address, trust) for address in internet.vps.addresses]
