"""A small internet with a VPS on it, and a stack with the settings of production that is going to run there."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from infra.settings import Services
from tests.stacks import StackFactory
from tests.vps import debian, images
from tests.vps.host import Vps
from tests.vps.network import Namespace, Network, available
from tools.paths import cache
from tools.prepare import Prepared
from tools.stack import Stack
from tools.steps import Report

METADATA = ("169.254.169.254", "fd00:ec2::254")


@dataclass(frozen=True)
class Internet:
    """Who is on it. `cloud` is the provider's metadata service, `cloudflare` an address of its proxy."""

    vps: Namespace
    operator: Namespace
    cloudflare: Namespace
    attacker: Namespace
    cloud: Namespace


@pytest.fixture(scope="session")
def internet() -> Iterator[Internet]:
    if reason := available():
        pytest.skip(f"a VPS can't be played here: {reason}")
    network = Network(f"vps-{secrets.token_hex(3)}")
    try:
        yield Internet(
            vps=network.host("host", "198.51.100.10", "2001:db8:1::10"),
            operator=network.host("operator", "192.0.2.10", "2001:db8:2::10"),
            cloudflare=network.host("cloudflare", "173.245.48.10", "2400:cb00::10"),
            attacker=network.host("attacker", "203.0.113.66", "2001:db8:666::66"),
            cloud=network.host("cloud", *METADATA),
        )
    finally:
        network.close()


@pytest.fixture(scope="session")
def vps(internet: Internet, prepared: Prepared, report: Report) -> Iterator[Vps]:
    """A fresh VPS that answers to an SSH key."""
    # Beside the images, whose files it shares, and never on a memory file system, which no overlay can lie on.
    folder = Path(tempfile.mkdtemp(prefix="vps-", dir=cache()))
    try:
        names = [prepared.images.references[name] for name in ("app", "traefik", "sandbox-bash")]
        stored = images.ensure(prepared.engine, names, internet.cloud, report)
        host = Vps(internet.vps, folder, debian.ensure(report), stored)
        try:
            host.start()
            yield host
        finally:
            host.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def production(new_stack: StackFactory, prepared: Prepared, vps: Vps, report: Report) -> Stack:
    """The stack of Pulumi.prod.yaml for this VPS, with few services. It is configured, and not yet up."""
    stack = new_stack(
        "prod",
        engine={"socket": "/var/run/docker.sock"},
        host={
            "ssh": {
                "address": vps.namespace.ipv4,
                "host_key": vps.host_key,
                "identity_file": str(vps.identity),
            },
            "firewall": {"ssh_sources": ["192.0.2.0/24", "2001:db8:2::/64"], "rollback_seconds": 6},
            "deploy_keys": [vps.public_key],
            # A swap file would be this machine's.
            "swap_mb": 0,
        },
        services={name: {"enabled": False} for name in Services.model_fields},
        sandbox={"environments": ["bash"], "pools": {"bash": {"min": 1, "max": 2}}},
        images=dict(prepared.images.references),
    )
    stack.set_secret("vps:cloudflareToken", secrets.token_urlsafe(24), report)
    return stack
