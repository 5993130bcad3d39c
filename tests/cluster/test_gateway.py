"""A cluster with an edge of its own: its Gateway leads visitors to the stack's. The tests build on each other."""

import json
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from infra.service import SERVICE_LABEL
from offline.kubernetes import layout
from offline.kubernetes.cluster import Cluster
from tests.cluster.conftest import PORT, STACK
from tests.cluster.issuing import ISSUER, Definitions
from tests.cluster.running import Pod, arrive, ending, pods
from tests.waiting import until
from tools.console.steps import Report, StepFailed
from tools.machine.kubernetes import Kubernetes
from tools.machine.preparation import Preparation
from tools.stack.cluster_stack import ClusterStack

NAMESPACE = "gateways"
GATEWAY: dict[str, Any] = {"name": "public", "namespace": NAMESPACE, "listeners": ["https"], "port": 30443}
VISITORS = range(101, 106)
"""Addresses of this machine in the nodes' network end so: each test is a visitor of its own."""
LIMIT = 5
"""Executions a minute for one address."""
HELLO = {"environment": "python", "code": "print('hello')"}


@pytest.fixture(scope="module", autouse=True)
def addresses(cluster: Kubernetes) -> Iterator[None]:
    """The visitors' addresses."""
    assert cluster
    for number in VISITORS:
        subprocess.run(["ip", "address", "add", f"{address(number)}/32", "dev", layout.HOST_LINK], check=True)
    yield
    for number in VISITORS:
        subprocess.run(["ip", "address", "del", f"{address(number)}/32", "dev", layout.HOST_LINK], check=True)


def behind(stack: ClusterStack, edge: dict[str, Any]) -> ClusterStack:
    """The same stack with another edge, and a limit that a test can reach."""
    sandbox = {**stack.overrides["sandbox"], "requests_per_minute": LIMIT}
    cluster = {**stack.overrides["cluster"], "edge": edge, "issuer": ISSUER, "pod_networks": [layout.PODS]}
    overrides = {**stack.overrides, "sandbox": sandbox, "cluster": cluster}
    return ClusterStack(stack.toolchain, stack.name, template=stack.template, home=stack.home, overrides=overrides)


@pytest.fixture(scope="module")
def gateway(ours: Cluster, definitions: Definitions, prepared: Preparation) -> Iterator[Pod]:
    definitions.teach(ours, "gateway.networking.k8s.io")
    images = prepared.images.references
    manifest = Template(Path(__file__).with_name("gateway.yml").read_text()).substitute(
        namespace=NAMESPACE, port=GATEWAY["port"], traefik=images["traefik"], app=images["app"], stack=STACK
    )
    ours.kubectl("apply", "-f", "-", stdin=manifest)
    try:
        ours.kubectl("-n", NAMESPACE, "rollout", "status", "deployment/gateway", "--timeout=120s")
        ours.kubectl("wait", "--for=condition=Ready", "pod/stranger", "--timeout=120s")
        (pod,) = pods(ours, "-n", NAMESPACE)
        yield pod
    finally:
        ours.kubectl("delete", "clusterrolebinding/gateway", "gatewayclass/traefik", f"namespace/{NAMESPACE}")
        ours.kubectl("delete", "pod/stranger", "--grace-period=1")


@pytest.fixture(scope="module")
def led(
    ours: Cluster, gateway: Pod, stack: ClusterStack, *, machine_values: dict[str, Any], authority: Path, report: Report
) -> ClusterStack:
    """The stack behind the Gateway, which has heard of its routes."""
    made = behind(stack, GATEWAY)
    made.configure_with(machine_values, report)
    made.up(report)
    until(lambda: is_open(gateway, authority) or None, 60, "a listener with a certificate and routes")
    until(lambda: not ending(ours, STACK), 120, "the pods that others have replaced to end")
    return made


def address(visitor: int) -> str:
    return layout.HOST_ADDRESS.rpartition(".")[0] + f".{visitor}"


def place(gateway: Pod) -> tuple[str, int]:
    """Where the Gateway is reached."""
    return layout.Node(int(gateway.node.removeprefix("node-")), Path()).address, GATEWAY["port"]


def visitor(number: int, gateway: Pod, authority: Path) -> httpx.Client:
    host, port = place(gateway)
    context = ssl.create_default_context(cafile=authority)
    transport = httpx.HTTPTransport(verify=context, local_address=address(number))
    return httpx.Client(base_url=f"https://{host}:{port}", transport=transport, timeout=40, trust_env=False)


def ask(client: httpx.Client, method: str, path: str, host: str = "localhost", **more: Any) -> httpx.Response:
    headers = {"host": host, **more.pop("headers", {})}
    return client.request(method, path, headers=headers, extensions={"sni_hostname": host}, **more)


def is_open(gateway: Pod, authority: Path) -> bool:
    try:
        with visitor(101, gateway, authority) as client:
            return ask(client, "GET", "/health").is_success
    except httpx.TransportError:
        return False


def execute(client: httpx.Client, **more: Any) -> httpx.Response:
    return ask(client, "POST", "/execute", json=HELLO, **more)


@pytest.mark.usefixtures("gateway", "authority")
def test_a_gateway_that_does_not_exist_is_named_with_the_fix(
    stack: ClusterStack, machine_values: dict[str, Any], report: Report
) -> None:
    made = behind(stack, {**GATEWAY, "name": "absent"})
    made.configure_with(machine_values, report)
    with pytest.raises(StepFailed) as failed:
        made.up(report)
    assert failed.value.message == f"The cluster has no Gateway {NAMESPACE}/absent, and cluster.edge names it."
    assert failed.value.fix.startswith("Name one that `kubectl get gateways --all-namespaces` shows")


def test_a_second_up_changes_nothing_and_nothing_has_drifted(led: ClusterStack, report: Report) -> None:
    led.preview(report, "--expect-no-changes")
    assert not led.has_drifted(report)
    assert led.outputs(report)["urls"]["api"] == f"https://localhost:{GATEWAY['port']}"


@pytest.mark.usefixtures("led")
def test_visitors_come_through_the_gateway(gateway: Pod, authority: Path) -> None:
    with visitor(101, gateway, authority) as client:
        answer = execute(client)
        assert (answer.status_code, answer.json()["output"]) == (httpx.codes.OK, "hello\n")
        assert "max-age=" in answer.headers["strict-transport-security"]
        dashboard = ask(client, "GET", "/", "traefik.localhost")
        assert (dashboard.status_code, dashboard.headers["www-authenticate"][:5]) == (401, "Basic")
        other = client.get("/", headers={"host": "unknown.localhost"}, extensions={"sni_hostname": "localhost"})
        assert other.status_code == httpx.codes.NOT_FOUND


@pytest.mark.usefixtures("led")
def test_server_sent_events_come_through_the_gateway(gateway: Pod, authority: Path) -> None:
    with visitor(102, gateway, authority) as client:
        answer = execute(client, headers={"accept": "text/event-stream"})
    events = [line.removeprefix("event: ") for line in answer.text.splitlines() if line.startswith("event: ")]
    assert (events[0], events[-1], set(events)) == ("started", "result", {"started", "output", "result"})


@pytest.mark.usefixtures("led")
def test_a_dialogue_by_websocket_comes_through_the_gateway(gateway: Pod, authority: Path) -> None:
    opened = socket.create_connection(place(gateway), 10, (address(103), 0))
    context = ssl.create_default_context(cafile=authority)
    with connect("wss://localhost/execute/stream", sock=opened, ssl=context, proxy=None) as stream:
        stream.send(json.dumps({"type": "start", "environment": "python", "code": "print(input('Who? '))"}))
        seen = ""
        while "Who? " not in seen:
            seen += json.loads(stream.recv(30)).get("data", "")
        stream.send(json.dumps({"type": "stdin", "data": "Ada\n"}))
        *_, last = map(json.loads, stream)
    assert (last["type"], last["status"], last["stdout"]) == ("result", "success", "Who? Ada\n")


@pytest.mark.usefixtures("led")
def test_the_rate_limit_counts_a_visitors_own_address(gateway: Pod, authority: Path) -> None:
    with visitor(104, gateway, authority) as client:
        assert [execute(client).status_code for _ in range(LIMIT + 1)] == [*[httpx.codes.OK] * LIMIT, 429]
        assert execute(client, headers={"x-forwarded-for": "203.0.113.9"}).status_code == 429
    with visitor(105, gateway, authority) as client:
        assert execute(client).status_code == httpx.codes.OK


@pytest.mark.usefixtures("led")
def test_the_gateways_pods_alone_reach_the_edge_and_nothing_else(ours: Cluster, gateway: Pod) -> None:
    made = pods(ours, "--all-namespaces", "-l", f"vps.stack={STACK}")
    (stranger,) = pods(ours, "-n", "default", "-l", f"{SERVICE_LABEL}=stranger")
    (edge,) = [it for it in made if it.service == "traefik"]
    targets = [(socket.AF_INET, it.address, port) for it in made for port in it.ports()]
    assert {(edge.address, 8080), (edge.address, 8082)} <= {(host, port) for _, host, port in targets}
    found = arrive({gateway.process: targets, stranger.process: targets})
    assert found == {gateway.process: {(edge.address, 8080)}, stranger.process: set()}


@pytest.mark.usefixtures("led")
def test_the_edge_is_published_on_no_node() -> None:
    for number in (1, 2):
        with socket.socket() as probe:
            probe.settimeout(2)
            assert probe.connect_ex((layout.Node(number, Path()).address, PORT))
