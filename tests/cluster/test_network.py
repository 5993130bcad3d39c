"""Which packets arrive: those of the container diagram's arrows, and no others."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from offline.kubernetes import layout
from offline.kubernetes.cluster import Cluster
from offline.kubernetes.layout import Node
from tests.cluster.conftest import STACK, UNITS
from tests.cluster.running import Pod, answering_at, arrive, arriving, node_process, pods
from tests.waiting import until
from tools.machine.kubernetes import Kubernetes
from tools.stack.cluster_stack import ClusterStack

ARROWS = {("traefik", "sandbox"): {8000}, ("sandbox", "valkey"): {6379}}
"""The ports to which one service may connect to another one: the arrows of docs/workspace.dsl between the core's pods,
and the one to the store in which units count. A unit's pod is `sandbox`."""
INTERNET, METADATA = "203.0.113.7", "169.254.169.254"
"""Addresses outside of the cluster: this machine answers at them while the tests run."""
PORT = 8099
CONTROL_PLANE = [
    (socket.AF_INET, layout.API_SERVICE, 443),
    (socket.AF_INET, Node(1, Path()).address, layout.API_PORT),
    *((socket.AF_INET, Node(number, Path()).address, 10250) for number in (1, 2)),
]
"""The API server, and each node's kubelet."""
FIRST_PACKETS = """
import json, socket, sys, time
store, *others = map(tuple, json.loads(sys.argv[1]))
began, tried, arrived = time.monotonic(), 0, []

def arrives(place):
    try:
        socket.create_connection(place, 0.02).close()
        return True
    except OSError:
        return False

end = began + 30
while time.monotonic() < end:
    for place in others:
        tried += 1
        if arrives(place):
            arrived.append([*place, time.monotonic() - began])
    if arrives(store):
        end = min(end, time.monotonic() + 1)
print(json.dumps([tried, end - began < 30, arrived]))
"""
"""Tries to connect to all but the first address, until one second after the first one was reached."""


@dataclass(frozen=True)
class Network:
    """The pods of the stack, with two units, on two nodes."""

    cluster: Cluster
    pods: list[Pod]

    def of(self, service: str) -> list[Pod]:
        return [pod for pod in self.pods if pod.service == service]


@pytest.fixture(scope="module")
def network(cluster: Kubernetes, stack: ClusterStack) -> Network:
    assert cluster.ours
    assert stack
    ours = cluster.ours
    ours.kubectl("-n", UNITS, "scale", "deployment/sandbox", "--replicas=2")
    ours.kubectl("-n", UNITS, "rollout", "status", "deployment/sandbox", "--timeout=120s")
    return Network(ours, pods(ours, "--all-namespaces", "-l", f"vps.stack={STACK}"))


@pytest.fixture(scope="module")
def outside(network: Network) -> Iterator[None]:
    """This machine at addresses that are not the cluster's."""
    assert network.pods
    listen = f"import http.server as it; it.test(it.BaseHTTPRequestHandler, port={PORT}, bind='0.0.0.0')"
    quiet = subprocess.DEVNULL
    with (
        answering_at(INTERNET, METADATA),
        subprocess.Popen([sys.executable, "-c", listen], stderr=quiet, stdout=quiet) as it,
    ):
        try:
            node = node_process("node-2")
            until(lambda: arriving(node, [(socket.AF_INET, INTERNET, PORT)]), 10, "a listener")
            assert arriving(node, [(socket.AF_INET, METADATA, PORT)])
            yield
        finally:
            it.kill()


def test_each_node_runs_a_unit(network: Network) -> None:
    assert {unit.node for unit in network.of("sandbox")} == {"node-1", "node-2"}


def test_packets_arrive_along_the_arrows_and_no_others(network: Network) -> None:
    """Between all pods, on one node and across, to every port that somebody listens on."""
    targets = {
        pod.process: [(socket.AF_INET, it.address, port) for it in network.pods if it != pod for port in it.ports()]
        for pod in network.pods
    }
    assert all(targets.values())
    found = arrive(targets)
    by_address = {pod.address: pod for pod in network.pods}
    arrived = {(pod.name, by_address[host].name, port) for pod in network.pods for host, port in found[pod.process]}
    assert arrived == {
        (source.name, target.name, port)
        for (one, other), numbers in ARROWS.items()
        for source in network.of(one)
        for target in network.of(other)
        for port in numbers
    }


def test_no_pod_reaches_the_control_plane(network: Network) -> None:
    assert len(arriving(node_process("node-2"), CONTROL_PLANE)) == len(CONTROL_PLANE)
    assert arrive({pod.process: CONTROL_PLANE for pod in network.pods}) == {pod.process: set() for pod in network.pods}


@pytest.mark.usefixtures("outside")
def test_only_the_edge_reaches_the_internet_and_nobody_a_metadata_service(network: Network) -> None:
    addresses = [(socket.AF_INET, host, PORT) for host in (INTERNET, METADATA, layout.HOST_ADDRESS)]
    found = arrive({pod.process: addresses for pod in network.pods})
    assert {pod.service for pod in network.pods if found[pod.process]} == {"traefik"}
    assert {it for each in found.values() for it in each} == {(INTERNET, PORT)}


def test_no_pod_has_a_way_around_by_link_local_addresses_of_ipv6(network: Network) -> None:
    """Traefik listens at all its addresses. A policy holds IPv4 alone here."""
    (edge,) = network.of("traefik")
    table = Path(f"/proc/{edge.process}/net/if_inet6").read_text().split("\n")
    (address,) = (line.split()[0] for line in table if line.endswith("eth0"))
    host = ":".join(address[it : it + 4] for it in range(0, 32, 4))
    neighbours = [pod for pod in network.pods if pod.node == edge.node and pod != edge]
    assert neighbours
    index = {pod.process: _index(pod) for pod in neighbours}
    probes = {process: [(socket.AF_INET6, host, 8080, 0, number)] for process, number in index.items()}
    assert not any(arrive(probes).values())


def _index(pod: Pod) -> int:
    """The number of the interface of a pod."""
    table = Path(f"/proc/{pod.process}/net/if_inet6").read_text().splitlines()
    return next(int(line.split()[1], 16) for line in table if line.endswith("eth0"))


def test_a_pod_has_no_network_before_its_policies_are_known(network: Network) -> None:
    """The first process of a pod tries from its first moment on. Its labels are a unit's."""
    (store,) = network.of("valkey")
    ours = network.cluster
    pod: dict[str, Any] = json.loads(ours.kubectl("-n", UNITS, "get", "deployment", "sandbox", "-o", "json"))
    spec = pod["spec"]["template"]["spec"]
    (container,) = spec["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe", "lifecycle"):
        container.pop(probe, None)
    edge = next((it.address, port) for it in network.of("traefik") for port in it.ports())
    tried = [(store.address, 6379), *((host, port) for _, host, port in CONTROL_PLANE), edge]
    container |= {"command": ["python", "-c", FIRST_PACKETS], "args": [json.dumps(tried)]}
    del spec["initContainers"], spec["serviceAccount"]
    labels = {"vps.stack": STACK, "vps.service": "sandbox", "vps.trial": "first"}
    manifest = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "first", "namespace": UNITS, "labels": labels},
        "spec": {**spec, "restartPolicy": "Never"},
    }
    ours.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    try:
        ours.kubectl("-n", UNITS, "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/first", "--timeout=60s")
        count, reached_store, arrived = json.loads(ours.kubectl("-n", UNITS, "logs", "first"))
    finally:
        ours.kubectl("-n", UNITS, "delete", "pod", "first", "--grace-period=1")
    assert count > len(tried)
    assert (reached_store, arrived) == (True, [])
