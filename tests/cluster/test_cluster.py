"""The core on a real Kubernetes: one node of our own. The tests build on each other, in order."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.environments import DEFAULT_ENVIRONMENTS, ENVIRONMENTS
from app.executor import seccomp
from infra.kubernetes.pod import seccomp_file
from offline.kubernetes.layout import Node
from offline.kubernetes.node import CGROUPS, KERNEL_SETTINGS
from tools.console.steps import Report
from tools.machine import kubernetes, pulumi_toolchain
from tools.machine.kubernetes import Kubernetes
from tools.machine.preparation import Preparation
from tools.stack import config
from tools.stack.cluster_stack import CLUSTER, ClusterStack

PORT = 30080
CORE = ("app", "executor", "traefik")
UNIT = ("-n", "vps-trial-units")


def traces() -> dict[str, Any]:
    """What a cluster could leave on this machine."""
    settings = {name: Path("/proc/sys", name).read_text() for name in KERNEL_SETTINGS}
    return {
        "kernel settings": settings,
        "interfaces": sorted(it.name for it in Path("/sys/class/net").iterdir() if not it.name.startswith("veth")),
        "control groups": sorted(str(it) for it in CGROUPS.glob("*/vps-cluster*")),
        "mounts": [line for line in Path("/proc/self/mounts").read_text().splitlines() if "/cluster/" in line],
        "processes": [pid for pid in Path("/proc").glob("[0-9]*") if b"offline.kubernetes" in _command(pid)],
    }


def _text(file: Path) -> str:
    """A file of a process; empty when the process has ended."""
    try:
        return file.read_text()
    except OSError:
        return ""


def _command(process: Path) -> bytes:
    return _text(process / "cmdline").encode()


@pytest.fixture(scope="module")
def before() -> dict[str, Any]:
    assert not kubernetes.our_cluster().nodes, "a cluster runs on this machine: `make cluster-down` removes it"
    return traces()


@pytest.fixture(scope="module")
def cluster(prepared: Preparation, report: Report, before: dict[str, Any]) -> Iterator[Kubernetes]:
    try:
        made = kubernetes.bring_up(1, report)
        made.load(prepared.engine, [prepared.images.references[name] for name in CORE], report)
        assert made.ours
        made.ours.put(seccomp_file(seccomp.for_executor()), seccomp.for_executor_on_node())
        yield made
    finally:
        kubernetes.our_cluster().down()


@pytest.fixture(scope="module")
def stack(
    cluster: Kubernetes, prepared: Preparation, report: Report, tmp_path_factory: pytest.TempPathFactory
) -> ClusterStack:
    """The core, up and ready: Pulumi waits for the pods' health checks."""
    made = ClusterStack(
        pulumi_toolchain.ensure(report, clusters=True),
        "trial",
        template=CLUSTER,
        home=tmp_path_factory.mktemp("cluster") / "home",
        overrides={"services": config.ONLY_CORE, "edge": {"http_port": PORT}},
    )
    made.configure_with({**config.image_values(prepared.images), "cluster": cluster.settings()}, report)
    made.up(report)
    return made


@pytest.fixture(scope="module")
def edge(stack: ClusterStack) -> httpx.Client:
    address = Node(1, Path()).address
    return httpx.Client(base_url=f"http://{address}:{PORT}", headers={"host": "localhost"}, timeout=40, trust_env=False)


@pytest.mark.parametrize("environment", DEFAULT_ENVIRONMENTS)
def test_a_visitors_code_runs_in_each_environment(edge: httpx.Client, environment: str) -> None:
    answer = edge.post("/execute", json={"environment": environment, "code": ENVIRONMENTS[environment].hello})
    assert answer.status_code == httpx.codes.OK, answer.text
    assert (answer.json()["status"], answer.json()["output"]) == ("success", "Hello, World!\n")


def test_a_second_up_changes_nothing(stack: ClusterStack, report: Report) -> None:
    stack.preview(report, "--expect-no-changes")


@pytest.mark.usefixtures("stack")
def test_the_executor_has_no_interface_but_its_own_loopback() -> None:
    """As this machine sees it: nobody in the pod may look at the executor's namespaces."""
    of_cluster = [it for it in Path("/proc").glob("[0-9]*") if "/vps-cluster/" in _text(it / "cgroup")]
    (executor,) = [it for it in of_cluster if _command(it).endswith(b"-m\0app.executor\0")]
    interfaces = [line.partition(":")[0].strip() for line in _text(executor / "net/dev").splitlines()[2:]]
    assert interfaces == ["lo"]


@pytest.mark.usefixtures("stack")
def test_no_pod_holds_a_token(cluster: Kubernetes) -> None:
    assert cluster.ours
    for container in ("api", "executor"):
        script = "ls /var/run/secrets/kubernetes.io 2>&1 || true"
        said = cluster.ours.kubectl(*UNIT, "exec", "deployment/sandbox", "-c", container, "--", "sh", "-c", script)
        assert "No such file" in said


def test_an_object_that_was_deleted_by_hand_is_noticed_and_restored(
    cluster: Kubernetes, stack: ClusterStack, edge: httpx.Client, report: Report
) -> None:
    assert cluster.ours
    assert not stack.has_drifted(report)
    cluster.ours.kubectl("-n", "vps-trial-edge", "delete", "service", "traefik-visitors")
    assert stack.has_drifted(report)
    stack.refresh(report)
    stack.up(report)
    assert edge.get("/health").status_code == httpx.codes.OK


def test_a_killed_unit_comes_back(cluster: Kubernetes, edge: httpx.Client) -> None:
    assert cluster.ours
    cluster.ours.kubectl(*UNIT, "delete", "pod", "-l", "vps.service=sandbox", "--grace-period=1")
    end = time.monotonic() + 60
    while edge.get("/health").status_code != httpx.codes.OK:
        assert time.monotonic() < end
        time.sleep(0.2)


def test_the_cluster_leaves_nothing(cluster: Kubernetes, before: dict[str, Any]) -> None:
    assert cluster.ours
    assert len(cluster.ours.nodes) == 1
    cluster.ours.down()
    assert traces() == before
    assert not cluster.ours.state.exists()
