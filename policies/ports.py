"""How a container is reached: its networks and its published ports."""

from collections.abc import Iterator
from typing import Any

from policies.inputs import Inputs
from policies.rules import rule

EDGE = "traefik"
_WEB_PORTS = (80, 443)
_FIRST_UNPRIVILEGED_PORT = 1024
_LAST_PORT = 65535
_DOCKER_NETWORKS = ("bridge", "host", "none", "default")


@rule("container-default-bridge", cis="5.30", running=True)
def default_bridge(inputs: Inputs) -> Iterator[str]:
    """No container is on Docker's default network.

    Fix: Name networks of the stack in networksAdvanced, or set networkMode to 'none'.
    """
    networks = inputs.sequence("networksAdvanced")
    if not networks and inputs.get("networkMode") != "none":
        yield "no network is named, so the container is on Docker's default network"
    for network in networks:
        name = network.get("name") if isinstance(network, dict) else network
        if name in _DOCKER_NETWORKS:
            yield f"networksAdvanced names Docker's own network {name!r}"


def _ports(inputs: Inputs) -> Iterator[dict[str, Any]]:
    for port in inputs.sequence("ports"):
        yield port if isinstance(port, dict) else {"external": port, "ip": port}


@rule("container-ports", cis="5.9")
def ports(inputs: Inputs) -> Iterator[str]:
    """Only the edge publishes ports, each with a fixed number.

    Fix: Reach the service through the edge (label vps.service=traefik). For the edge, set `external`.
    """
    if inputs.get("publishAllPorts") not in (None, False):
        yield f"publishAllPorts is {inputs.get('publishAllPorts')!r}"
    for port in _ports(inputs):
        external = port.get("external")
        if inputs.service != EDGE:
            yield f"{inputs.service!r} publishes port {external!r}"
        elif not isinstance(external, int):
            yield f"`external` of port {port.get('internal')!r} is {external!r}"


@rule("container-privileged-ports", cis="5.8")
def privileged_ports(inputs: Inputs) -> Iterator[str]:
    """Of the ports below 1024, only the edge's 80 and 443 are published.

    Fix: Publish another port, or none.
    """
    allowed = _WEB_PORTS if inputs.service == EDGE else ()
    for port in _ports(inputs):
        external = port.get("external")
        if external is None:
            continue  # Docker would choose a high one; container-ports refuses it
        unprivileged = isinstance(external, int) and _FIRST_UNPRIVILEGED_PORT <= external <= _LAST_PORT
        if not unprivileged and external not in allowed:
            yield f"{inputs.service!r} publishes port {external!r}"


@rule("container-port-addresses", cis="5.14")
def port_addresses(inputs: Inputs) -> Iterator[str]:
    """Only the edge listens on an address other than the host's loopback.

    Fix: Set `ip` of the port to 127.0.0.1.
    """
    for port in _ports(inputs):
        if inputs.service != EDGE and port.get("ip") not in ("127.0.0.1", "::1"):
            yield f"{inputs.service!r} publishes port {port.get('external')!r} on {port.get('ip')!r}"
