"""Each program of the platform starts from its image, whether that was pulled or made here, and is what it should be.

That each answers, is what the stacks of the tests beside this one wait for: the same health checks as everywhere.
"""

import re

import pytest

from infra.images import UPSTREAM_IMAGES
from tools.machine.preparation import Prepared

VERSION = {
    "traefik": ["traefik", "version"],
    "prometheus": ["prometheus", "--version"],
    "alertmanager": ["alertmanager", "--version"],
    "node-exporter": ["node_exporter", "--version"],
    "blackbox-exporter": ["blackbox_exporter", "--version"],
    "loki": ["/usr/bin/loki", "-version"],
    "jaeger": ["/cmd/jaeger/jaeger-linux", "version"],
    "collector": ["/otelcol-contrib", "--version"],
}
SAME = ("traefik", "loki", "jaeger", "collector")
"""What is built in the version that is pulled; the others are in Debian's."""


@pytest.mark.parametrize("name", VERSION)
def test_a_program_starts_without_rights_and_tells_its_version(prepared: Prepared, name: str) -> None:
    reference = prepared.images.references[name]
    said = prepared.engine.client().containers.run(
        reference,
        entrypoint=VERSION[name],
        user="65534:65534",
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges:true"],
        network_mode="none",
        stderr=True,
        remove=True,
    )
    found = re.search(rb"\d+\.\d+\.\d+", said)
    assert found, said
    if not reference.startswith("vps/") or name in SAME:
        assert found[0].decode() == UPSTREAM_IMAGES[name].rpartition(":")[2].removeprefix("v")
