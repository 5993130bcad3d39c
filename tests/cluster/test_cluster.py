"""The core on a real Kubernetes of our own. The tests build on each other, in order."""

import json
import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.environments import DEFAULT_ENVIRONMENTS, ENVIRONMENTS
from tests.cluster.conftest import STACK, UNITS
from tests.cluster.running import command, refusal, text
from tests.pods import FAULTS
from tools.console.steps import Report
from tools.machine.kubernetes import Kubernetes
from tools.stack.cluster_stack import ClusterStack

UNIT = ("-n", UNITS)
NO_LIMITS = "no limits"


def _wait_until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.2)


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
    of_cluster = [it for it in Path("/proc").glob("[0-9]*") if "/vps-cluster/" in text(it / "cgroup")]
    (executor,) = [it for it in of_cluster if command(it).endswith(b"-m\0app.executor\0")]
    interfaces = [line.partition(":")[0].strip() for line in text(executor / "net/dev").splitlines()[2:]]
    assert interfaces == ["lo"]


@pytest.mark.usefixtures("stack")
def test_no_pod_holds_a_token(cluster: Kubernetes) -> None:
    assert cluster.ours
    for container in ("api", "executor"):
        script = "ls /var/run/secrets/kubernetes.io 2>&1 || true"
        said = cluster.ours.kubectl(*UNIT, "exec", "deployment/sandbox", "-c", container, "--", "sh", "-c", script)
        assert "No such file" in said


def _unit(cluster: Kubernetes) -> dict[str, Any]:
    assert cluster.ours
    found: dict[str, Any] = json.loads(cluster.ours.kubectl(*UNIT, "get", "deployment", "sandbox", "-o", "json"))
    pod: dict[str, Any] = found["spec"]["template"]["spec"]
    # Every namespace has an account `default`.
    del pod["serviceAccount"], pod["serviceAccountName"]
    return pod


@pytest.mark.usefixtures("stack")
def test_the_api_server_takes_a_units_pod_in_the_units_namespace_alone(cluster: Kubernetes) -> None:
    assert refusal(cluster, _unit(cluster), STACK) == ""
    assert "violates PodSecurity" in refusal(cluster, _unit(cluster), STACK, "edge")


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("fault", [it for it in FAULTS if it != NO_LIMITS])
def test_the_api_server_refuses_a_pod_with_one_fault(cluster: Kubernetes, fault: str) -> None:
    refused_by, change = FAULTS[fault]
    pod = _unit(cluster)
    change(pod)
    said = refusal(cluster, pod, STACK)
    assert any(f"{STACK}-{name}: " in said for name in refused_by), said


@pytest.mark.usefixtures("stack")
def test_a_container_without_limits_gets_those_of_its_namespace_and_is_refused_where_there_are_none(
    cluster: Kubernetes,
) -> None:
    assert cluster.ours
    pod = _unit(cluster)
    FAULTS[NO_LIMITS][1](pod)
    assert refusal(cluster, pod, STACK) == ""
    bare = f"{STACK}-bare"
    cluster.ours.kubectl("create", "namespace", bare)
    try:
        cluster.ours.kubectl("label", "namespace", bare, f"vps.stack={STACK}")
        del pod["initContainers"]
        assert f"{STACK}-limits: " in refusal(cluster, pod, STACK, "bare")
    finally:
        cluster.ours.kubectl("delete", "namespace", bare)


@pytest.mark.usefixtures("stack")
def test_an_object_beyond_the_quota_is_refused(cluster: Kubernetes) -> None:
    assert cluster.ours
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.ours.kubectl(*UNIT, "create", "service", "loadbalancer", "tried", "--tcp=80", "--dry-run=server")
    assert "exceeded quota" in refused.value.stderr


@pytest.mark.usefixtures("stack")
@pytest.mark.parametrize("verb", ["get secrets", "create pods", "list nodes", "get pods/log"])
def test_a_units_service_account_may_do_nothing(cluster: Kubernetes, verb: str) -> None:
    assert cluster.ours
    account = f"--as=system:serviceaccount:{UNITS}:sandbox"
    with pytest.raises(subprocess.CalledProcessError) as refused:
        cluster.ours.kubectl(*UNIT, "auth", "can-i", *verb.split(), account)
    assert refused.value.stdout.strip() == "no"


def test_an_object_that_was_deleted_by_hand_is_noticed_and_restored(
    cluster: Kubernetes, stack: ClusterStack, edge: httpx.Client, report: Report
) -> None:
    assert cluster.ours
    assert not stack.has_drifted(report)
    cluster.ours.kubectl("-n", f"{STACK}-edge", "delete", "service", "traefik-visitors")
    assert stack.has_drifted(report)
    stack.refresh(report)
    stack.up(report)
    assert edge.get("/health").status_code == httpx.codes.OK


def test_a_unit_that_is_removed_finishes_what_it_runs(cluster: Kubernetes, edge: httpx.Client) -> None:
    assert cluster.ours
    scale = (*UNIT, "scale", "deployment/sandbox")
    ready = (*UNIT, "rollout", "status", "deployment/sandbox", "--timeout=120s")
    cluster.ours.kubectl(*scale, "--replicas=2")
    cluster.ours.kubectl(*ready)
    lasting = {"environment": "python", "code": "import time\ntime.sleep(15)\nprint('done')"}
    short = {"environment": "python", "code": "print('done')"}
    with ThreadPoolExecutor() as visitors:
        running = [visitors.submit(edge.post, "/execute", json=lasting) for _ in range(2)]
        _wait_until(lambda: len(_names(cluster)) == 2)
        cluster.ours.kubectl(*scale, "--replicas=1")
        answers = []
        while len(_names(cluster)) == 2:
            answers.append(edge.post("/execute", json=short))
        answers += [it.result() for it in running]
    assert {it.status_code for it in answers} == {httpx.codes.OK}, [it.text for it in answers]
    assert {it.json()["output"] for it in answers} == {"done\n"}


def _names(cluster: Kubernetes) -> list[str]:
    """The units' pods, those that end too."""
    assert cluster.ours
    return cluster.ours.kubectl(*UNIT, "get", "pods", "-l", "vps.service=sandbox", "-o", "name").split()


def test_a_killed_unit_comes_back(cluster: Kubernetes, edge: httpx.Client) -> None:
    assert cluster.ours
    cluster.ours.kubectl(*UNIT, "delete", "pod", "-l", "vps.service=sandbox", "--grace-period=1")
    _wait_until(lambda: edge.get("/health").status_code == httpx.codes.OK)
