"""Each program of the platform starts from its image, pulled or built here, and has the expected version."""

import re
from collections.abc import Iterator

import pytest

from infra.images import UPSTREAM_IMAGES
from tests.declared import DeclaredServices
from tools.machine.preparation import Preparation

VERSION = {
    "traefik": "version",
    "prometheus": "--version",
    "alertmanager": "--version",
    "node-exporter": "--version",
    "blackbox-exporter": "--version",
    "loki": "-version",
    "jaeger": "version",
    "collector": "--version",
}
SAME = ("traefik", "loki", "jaeger", "collector")
"""Programs that are built in the version that is pulled. The others are Debian's where no registry answers."""


@pytest.fixture(scope="module")
def services(prepared: Preparation) -> Iterator[DeclaredServices]:
    services = DeclaredServices(prepared)
    try:
        yield services
    finally:
        services.remove()


@pytest.mark.parametrize("name", VERSION)
def test_a_program_starts_as_declared_and_prints_its_version(
    services: DeclaredServices, prepared: Preparation, name: str
) -> None:
    said = services.run(name, VERSION[name])
    found = re.search(rb"\d+\.\d+\.\d+", said)
    assert found, said
    if not prepared.images.references[name].startswith("vps/") or name in SAME:
        assert found[0].decode() == UPSTREAM_IMAGES[name].rpartition(":")[2].removeprefix("v")
