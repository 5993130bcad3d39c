"""The whole stack on the cluster: its dashboards, alerts, logs, traces, and units that follow the executions. The tests
build on each other, in order."""

import contextlib
import copy
import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from infra.cluster import ADAPTER
from infra.services import prometheus
from monitoring import promql
from monitoring.grafana.files import panel_queries
from monitoring.prometheus import rules
from offline.kubernetes import certificates, layout
from offline.kubernetes.cluster import Cluster
from tests.cluster.conftest import STACK, UNITS
from tests.cluster.running import ending, refusal
from tests.observed import MAY_BE_EMPTY, ROUND, execute
from tests.stack.servers import Servers
from tests.waiting import until
from tools.console.steps import Report
from tools.machine.kubernetes import Kubernetes
from tools.machine.preparation import Preparation
from tools.stack import config
from tools.stack.cluster_stack import ClusterStack

PROGRAMS = ("prometheus", "alertmanager", "loki", "collector", "jaeger", "node-exporter", "blackbox-exporter")
SERVICES = (*PROGRAMS, "container-exporter")
METRIC = f"/apis/custom.metrics.k8s.io/v1beta1/namespaces/{UNITS}/deployments.apps/sandbox/{prometheus.UNITS_LOAD}"
VISITORS = 6
UNIT = ("-n", UNITS)
PORTS = {"prometheus": 9090, "alertmanager": 9093, "loki": 3100, "jaeger": 16686}
SCRAPE_SECONDS = 2
MISSING = {
    "container_memory_kills_total": "why a container has ended, a kubelet tells its API server alone",
    "probe_http_last_modified_timestamp_seconds": "the status page does not run on a cluster",
}


@pytest.fixture(scope="module")
def whole(
    cluster: Kubernetes, ours: Cluster, stack: ClusterStack, prepared: Preparation, report: Report
) -> ClusterStack:
    """The same stack with all services, and units that follow the executions."""
    cluster.load(prepared.engine, [prepared.images.references[name] for name in (*PROGRAMS, ADAPTER)], report)
    overrides = {key: value for key, value in stack.overrides.items() if key != "services"}
    units = {"units": {"max": 2, "by": "adapter", "calm_seconds": 20}}
    made = ClusterStack(
        stack.toolchain,
        stack.name,
        template=stack.template,
        home=stack.home,
        overrides={
            **overrides,
            "cluster": units,
            "services": {
                "prometheus": {"scrape_seconds": SCRAPE_SECONDS},
                # Room for the spans of all executions, which come at once.
                "jaeger": {"disk_mb": 1_000_000},
            },
        },
    )
    made.configure_with({**config.node_values(prepared.engine, prepared.images), "cluster": cluster.settings()}, report)
    made.up(report)
    until(lambda: not ending(ours, STACK), 120, "the pods that others have replaced to end")
    return made


@pytest.fixture(scope="module")
def servers(cluster: Kubernetes, whole: ClusterStack, edge: httpx.Client) -> Iterator[Servers]:
    """Clients that reach the services through the API server, as its administrator."""
    assert cluster.ours
    folder = layout.certificates(cluster.ours.state)
    trusted = ssl.create_default_context(cafile=folder / f"{certificates.AUTHORITY}.crt")
    trusted.load_cert_chain(folder / f"{certificates.ADMIN}.crt", folder / f"{certificates.ADMIN}.key")
    api = f"https://{layout.Node(1, cluster.ours.state).address}:{layout.API_PORT}/api/v1/namespaces/{whole.prefix}"
    clients = {
        name: httpx.Client(
            base_url=f"{api}-monitoring/services/{name}:{port}/proxy", verify=trusted, timeout=60, trust_env=False
        )
        for name, port in PORTS.items()
    }
    yield Servers(edge, clients)
    for client in clients.values():
        client.close()


@pytest.fixture(scope="module")
def begin(servers: Servers) -> float:
    """When the executions began, in seconds since 1970: they have ended, and were scraped."""
    begin = time.time() - 5
    until(lambda: set(servers.targets().values()) == {"up"} or None, 120, f"every target up: {servers.targets()}")
    for one in ROUND * 2:
        execute(servers, *one)
    time.sleep(3 * SCRAPE_SECONDS)
    return begin


def test_every_target_is_up_and_every_route_answers(servers: Servers, begin: float) -> None:
    targets = servers.targets()
    assert {job for job, route in targets if not route} == {"api", "executor", "traefik", *SERVICES}
    assert {route for job, route in targets if job == "probe"} >= {"api", "traefik", "prometheus", "jaeger"}
    for expression, each in (("up", targets), ("probe_success", {key for key in targets if key[0] == "probe"})):
        good = servers.series(f"{expression} == 1", begin)
        assert {(it["metric"]["job"], it["metric"].get("route", "")) for it in good} == set(each), expression


def test_every_panel_has_data(servers: Servers, begin: float) -> None:
    silent = {
        query.expr: f"{query.dashboard}: {query.panel}"
        for query in panel_queries()
        if not (servers.logs if query.source == "loki" else servers.series)(query.expr, begin)
    }
    assert silent.keys() <= MAY_BE_EMPTY.keys(), silent


def test_alerts_have_the_metrics_that_they_read_and_reach_alertmanager(servers: Servers, begin: float) -> None:
    read = {name for alert in rules.alerts() for name in promql.metrics(alert.expr)}
    wanted = read - MAY_BE_EMPTY.keys() - MISSING.keys()

    def missing() -> set[str]:
        return wanted - set(servers.get("prometheus", "/api/v1/label/__name__/values", start=begin)["data"])

    with contextlib.suppress(AssertionError):
        until(lambda: not missing(), 60, "the metrics that alerts read")
    assert not missing()
    groups = servers.get("prometheus", "/api/v1/rules")["data"]["groups"]
    assert {rule["health"] for group in groups for rule in group["rules"]} <= {"ok", "unknown"}
    told = until(lambda: servers.get("alertmanager", "/api/v2/alerts"), 60, "an alert at Alertmanager")
    assert "Watchdog" in {it["labels"]["alertname"] for it in told}


def test_the_log_line_of_an_execution_is_found_by_its_id_and_leads_to_its_trace(servers: Servers, begin: float) -> None:
    execution = execute(servers, *ROUND[0])
    found = until(lambda: servers.logs(f'{{service="api"}} |= "{execution}"', begin), 30, "the line of an execution")
    ((labels, ((_, _, facts),)),) = [(stream["stream"], stream["values"]) for stream in found]
    assert labels == {"service": "api", "source": "container", "level": "info"}
    assert until(lambda: servers.logs(f'{{service="executor"}} |= "{execution}"', begin), 30, "the executor's line")
    trace = facts["structuredMetadata"]["trace_id"]
    services = {"traefik", "api", "executor"}
    until(lambda: {name for name, _ in servers.spans(trace)} == services or None, 60, "all spans of its trace")


def test_lines_of_each_container_are_kept(servers: Servers, begin: float) -> None:
    for service in ("api", "executor", "traefik", "prometheus", "loki"):
        assert servers.logs(f'{{service="{service}", source="container"}}', begin - 600), service


def test_pods_of_others_are_not_read(servers: Servers, begin: float) -> None:
    assert not servers.logs('{service="coredns"}', begin)


def _pod(cluster: Kubernetes, workload: str, namespace: str) -> dict[str, Any]:
    assert cluster.ours
    found = json.loads(cluster.ours.kubectl("-n", f"{STACK}-{namespace}", "get", workload, "-o", "json"))
    pod: dict[str, Any] = found["spec"]["template"]["spec"]
    return pod


def _refusal(cluster: Kubernetes, pod: dict[str, Any], namespace: str) -> str:
    return refusal(cluster, pod, STACK, namespace, is_unit=False)


@pytest.mark.usefixtures("whole")
def test_a_nodes_files_are_read_in_one_namespace_and_never_written(cluster: Kubernetes) -> None:
    collector = _pod(cluster, "daemonset/collector", "nodes")
    assert _refusal(cluster, collector, "nodes") == ""
    writable, root = copy.deepcopy(collector), copy.deepcopy(collector)
    (mount,) = (it for it in writable["containers"][0]["volumeMounts"] if it["mountPath"] == "/host/log")
    del mount["readOnly"]
    assert f"{STACK}-node-paths: " in _refusal(cluster, writable, "nodes")
    (volume,) = (it for it in root["volumes"] if "hostPath" in it)
    volume["hostPath"]["path"] = "/"
    assert f"{STACK}-volumes: " in _refusal(cluster, root, "nodes")
    del collector["serviceAccount"], collector["serviceAccountName"]  # each namespace has an account `default`
    assert "violates PodSecurity" in _refusal(cluster, collector, "monitoring")
    said = _refusal(cluster, collector, "units")
    assert f"{STACK}-user: " in said or f"{STACK}-volumes: " in said


@pytest.mark.usefixtures("whole")
def test_a_token_is_for_the_adapter_alone_and_gives_it_no_other_right(cluster: Kubernetes) -> None:
    assert cluster.ours
    adapter = _pod(cluster, f"deployment/{ADAPTER}", "scaling")
    assert _refusal(cluster, adapter, "scaling") == ""
    adapter["containers"][0]["name"] = "other"
    # The API server tells one of the rules that refuse it: that volume holds the token.
    said = _refusal(cluster, adapter, "scaling")
    assert f"{STACK}-token: " in said or f"{STACK}-volumes: " in said
    account = f"--as=system:serviceaccount:{STACK}-scaling:{ADAPTER}"
    for verb in ("get secrets", "list pods", "create pods", "list nodes"):
        with pytest.raises(subprocess.CalledProcessError) as refused:
            cluster.ours.kubectl(*UNIT, "auth", "can-i", *verb.split(), account)
        assert refused.value.stdout.strip() == "no", verb


def _pods(cluster: Kubernetes) -> list[str]:
    """The units' pods, those that end too."""
    assert cluster.ours
    return cluster.ours.kubectl(*UNIT, "get", "pods", "-l", "vps.service=sandbox", "-o", "name").split()


def _load(cluster: Kubernetes) -> str:
    assert cluster.ours
    try:
        found = json.loads(cluster.ours.kubectl("get", "--raw", METRIC))
    except subprocess.CalledProcessError as error:
        return f"none: {error.stderr}"
    (item,) = found["items"]
    return str(item["value"])


def test_units_come_with_the_executions_and_go_without_a_loss(
    cluster: Kubernetes, edge: httpx.Client, servers: Servers, begin: float
) -> None:
    """As many visitors as a unit and a half run at once, for as long as it takes; then one."""
    until(lambda: not _load(cluster).startswith("none") or None, 120, "the metric of the units' load")
    assert len(_pods(cluster)) == 1
    several = threading.Event()
    answers: list[httpx.Response] = []

    def visit(seconds: float) -> None:
        code = f"import time\ntime.sleep({seconds})\nprint('done')"
        answers.append(edge.post("/execute", json={"environment": "python", "code": code}))

    def visit_until_there_are_several() -> None:
        while not several.is_set():
            visit(1)

    with ThreadPoolExecutor(VISITORS) as visitors:
        running = [visitors.submit(visit_until_there_are_several) for _ in range(VISITORS)]
        try:
            until(lambda: servers.value('count(up{job="api"} == 1)') == 2 or None, 180, "a second unit that answers")
        finally:
            several.set()
        for it in running:
            it.result()
    end = time.monotonic() + 300
    while len(_pods(cluster)) == 2:
        assert time.monotonic() < end, f"the second unit stays, at a load of {_load(cluster)}"
        visit(0)
    assert {it.status_code for it in answers} == {httpx.codes.OK}, [it.text for it in answers if not it.is_success]
    assert {it.json()["output"] for it in answers} == {"done\n"}
