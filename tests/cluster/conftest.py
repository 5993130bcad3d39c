"""A cluster of two nodes with the core, which all tests of this folder share."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.executor import seccomp
from infra.settings import STACKS_STORE
from offline.kubernetes.cluster import Cluster
from offline.kubernetes.layout import Node
from offline.kubernetes.node import CGROUPS, KERNEL_SETTINGS
from tests.cluster import issuing
from tests.cluster.issuing import Definitions
from tests.cluster.running import command, ending, pods
from tests.pods import RUNTIME_CLASS
from tests.waiting import until
from tools.console.steps import Report
from tools.machine import kubernetes, pulumi_toolchain
from tools.machine.kubernetes import Kubernetes
from tools.machine.preparation import Preparation, prepare
from tools.stack import config
from tools.stack.cluster_stack import CLUSTER, ClusterStack

PORT = 30080
CORE = ("app", "executor", "traefik", "valkey")
STACK = "vps-trial"
UNITS = f"{STACK}-units"
_DOCKERS = ("veth", "br-")
OWN_NODES = "vps.units"
CLASS = {"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": RUNTIME_CLASS}, "handler": "runc"}


def traces() -> dict[str, Any]:
    """What a cluster could leave on this machine."""
    settings = {name: Path("/proc/sys", name).read_text() for name in KERNEL_SETTINGS}
    return {
        "kernel settings": settings,
        # Without those of Docker, whose networks come and go.
        "interfaces": sorted(it.name for it in Path("/sys/class/net").iterdir() if not it.name.startswith(_DOCKERS)),
        "control groups": sorted(str(it) for it in CGROUPS.glob("*/vps-cluster*")),
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/cluster/" in line],
        "processes": [pid for pid in Path("/proc").glob("[0-9]*") if b"offline.kubernetes" in command(pid)],
    }


@pytest.fixture(scope="session")
def prepared() -> Preparation:
    """As for other suites, with what only a cluster runs."""
    return prepare(clusters=True)


@pytest.fixture(scope="session")
def before() -> dict[str, Any]:
    assert not kubernetes.our_cluster().nodes, "a cluster runs on this machine: `make cluster-down` removes it"
    return traces()


@pytest.fixture(scope="session")
def cluster(prepared: Preparation, report: Report, before: dict[str, Any]) -> Iterator[Kubernetes]:
    try:
        made = kubernetes.bring_up(2, report)
        made.load(prepared.engine, [prepared.images.references[name] for name in CORE], report)
        assert made.ours
        made.ours.kubectl("label", "nodes", "--all", f"{OWN_NODES}=")
        made.ours.kubectl("taint", "node", "node-2", f"{OWN_NODES}=:NoSchedule")
        made.ours.kubectl("create", "-f", "-", stdin=json.dumps(CLASS))
        made.ours.put(seccomp.file_on_node(seccomp.for_executor()), seccomp.for_executor_on_node())
        yield made
    finally:
        kubernetes.our_cluster().down()


@pytest.fixture(scope="session")
def stack(machine_values: dict[str, Any], report: Report, tmp_path_factory: pytest.TempPathFactory) -> ClusterStack:
    """The core, up and ready: Pulumi waits for the pods' health checks."""
    made = ClusterStack(
        pulumi_toolchain.ensure(report, clusters=True),
        "trial",
        template=CLUSTER,
        home=tmp_path_factory.mktemp("cluster") / "home",
        overrides={
            "services": config.ONLY_CORE,
            "edge": {"http_port": PORT},
            "sandbox": {"rate_store": STACKS_STORE, "requests_per_minute": 1000},
            "cluster": {"units": {"max": 2, "by": "cpu", "own_nodes": True}},
        },
    )
    made.configure_with(machine_values, report)
    made.up(report)
    return made


@pytest.fixture(scope="session")
def machine_values(cluster: Kubernetes, prepared: Preparation) -> dict[str, Any]:
    """What this machine says in the config of a stack."""
    return {**config.node_values(prepared.engine, prepared.images), "cluster": cluster.settings()}


@pytest.fixture(scope="session")
def ours(cluster: Kubernetes) -> Cluster:
    assert cluster.ours
    return cluster.ours


@pytest.fixture(scope="module")
def with_rooms(stack: ClusterStack, machine_values: dict[str, Any], ours: Cluster, report: Report) -> ClusterStack:
    """The same stack with rooms and two units beside theirs. Its edge also answers for the address of its node."""
    units = {**stack.overrides["cluster"]["units"], "min": 2, "max": 3}
    overrides = {
        **stack.overrides,
        "edge": {**stack.overrides["edge"], "api_hosts": ["localhost", Node(1, Path()).address]},
        "sandbox": {**stack.overrides["sandbox"], "rooms": {}},
        "cluster": {**stack.overrides["cluster"], "units": units},
    }
    made = ClusterStack(stack.toolchain, stack.name, template=stack.template, home=stack.home, overrides=overrides)
    made.configure_with(machine_values, report)
    made.up(report)
    # An autoscaler without metrics still keeps the least number.
    until(lambda: len(pods(ours, "-n", UNITS, "-l", "vps.service=sandbox")) == 2, 120, "two units")
    ours.kubectl("-n", UNITS, "rollout", "status", "deployment/sandbox", "--timeout=180s")
    until(lambda: not ending(ours, STACK), 120, "the pods that others have replaced to end")
    return made


@pytest.fixture(scope="session")
def definitions(report: Report) -> Definitions:
    return issuing.definitions(report)


@pytest.fixture(scope="session")
def authority(definitions: Definitions, ours: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The certificate with which the issuer of a cert-manager signs, which runs from now on."""
    with definitions.issuing(ours, tmp_path_factory.mktemp("authority")) as certificate:
        yield certificate


@pytest.fixture(scope="session")
def edge(stack: ClusterStack) -> httpx.Client:
    address = Node(1, Path()).address
    return httpx.Client(base_url=f"http://{address}:{PORT}", headers={"host": "localhost"}, timeout=40, trust_env=False)
