"""Packages on the cluster: two units on two nodes copy what one service has made from an index outside. The tests
build on each other."""

import contextlib
import functools
import json
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app.wire.problems import Code
from offline.kubernetes.cluster import Cluster
from tests.cluster.conftest import STACK, UNITS
from tests.cluster.running import Pod, answering_at, arrive, ending, pods
from tests.cluster.test_network import INTERNET
from tests.waiting import until
from tools.console.steps import Report
from tools.machine.kubernetes import Kubernetes
from tools.machine.preparation import Preparation
from tools.measure.package_index import Index, serving
from tools.stack.cluster_stack import ClusterStack

NAMESPACE = f"{STACK}-packages"
OF_UNITS = ("-n", UNITS, "-l", "vps.service=sandbox")
VISITORS = 12
"""Who ask at once, so that the edge has connections to both units."""
PROGRAMS = {
    "python": "import clustered; print(clustered.value)",
    "node": "console.log(require('clustered').value)",
}
COPY, PORT = "packages-copy", 8001


@pytest.fixture(scope="module")
def index(cluster: Kubernetes) -> Iterator[Index]:
    """Both indexes, at an address that is not the cluster's."""
    assert cluster
    with answering_at(INTERNET), serving(INTERNET) as found:
        found.package("clustered", needs=["needed"])
        found.package("needed")
        found.module("clustered")
        yield found


@pytest.fixture(scope="module")
def packed(
    cluster: Kubernetes,
    ours: Cluster,
    stack: ClusterStack,
    *,
    index: Index,
    prepared: Preparation,
    machine_values: dict[str, Any],
    report: Report,
) -> ClusterStack:
    """The same stack with packages, and two units."""
    cluster.load(prepared.engine, [prepared.images.references["packages"]], report)
    options = {"index": index.url, "registry": index.registry}
    overrides = {**stack.overrides, "sandbox": {**stack.overrides["sandbox"], "packages": options}}
    made = ClusterStack(stack.toolchain, stack.name, template=stack.template, home=stack.home, overrides=overrides)
    made.configure_with(machine_values, report)
    made.up(report)
    # One after the other, so that the second one goes where the first one is not.
    for number in (1, 2):
        scale(ours, UNITS, "sandbox", number)
        until(lambda: not ending(ours, STACK), 120, "the pods that others have replaced to end")
    return made


@pytest.fixture(scope="module")
def units(ours: Cluster, packed: ClusterStack) -> list[Pod]:
    assert packed
    return pods(ours, *OF_UNITS)


def scale(cluster: Cluster, namespace: str, deployment: str, number: int) -> None:
    of = ("-n", namespace)
    cluster.kubectl(*of, "scale", f"deployment/{deployment}", f"--replicas={number}")
    cluster.kubectl(*of, "rollout", "status", f"deployment/{deployment}", "--timeout=180s")


def execute(edge: httpx.Client, environment: str, code: str, *packages: str) -> httpx.Response:
    return edge.post("/execute", json={"environment": environment, "code": code, "packages": packages})


def runs_in_each(cluster: Cluster, units: list[Pod], edge: httpx.Client, environment: str) -> None:
    """Have visitors run a program with a package until each unit has run it, and see that none of them fails."""
    executions: list[str] = []

    def answered(_: int) -> str:
        answer = execute(edge, environment, PROGRAMS[environment], "clustered")
        assert (answer.status_code, answer.json().get("stdout")) == (httpx.codes.OK, "1\n"), answer.text
        return str(answer.json()["execution_id"])

    def each_has_run_it() -> bool:
        with ThreadPoolExecutor(VISITORS) as visitors:
            executions.extend(visitors.map(answered, range(VISITORS)))
        logs = [cluster.kubectl("-n", UNITS, "logs", unit.name, "-c", "executor") for unit in units]
        return all(any(it in log for it in executions) for log in logs)

    until(each_has_run_it, 90, "an execution in each unit")


def test_a_second_up_changes_nothing(packed: ClusterStack, report: Report) -> None:
    packed.preview(report, "--expect-no-changes")


def test_there_is_a_unit_on_each_node(units: list[Pod]) -> None:
    assert {unit.node for unit in units} == {"node-1", "node-2"}


@pytest.mark.parametrize("environment", PROGRAMS)
def test_each_unit_runs_code_with_packages_that_were_made_once(
    ours: Cluster, units: list[Pod], edge: httpx.Client, index: Index, environment: str
) -> None:
    before = len(index.asked)
    runs_in_each(ours, units, edge, environment)
    asked = [path for path in index.asked[before:] if path.startswith("/files/") and "clustered" in path]
    assert len(set(asked)) == 1
    # uv may ask for a wheel's metadata before the service fetches the wheel. A second unit asks for nothing.
    count = len(index.asked)
    runs_in_each(ours, units, edge, environment)
    assert len(index.asked) == count


def test_the_service_alone_reaches_the_index_and_the_units_alone_the_service(
    ours: Cluster, units: list[Pod], index: Index
) -> None:
    every = pods(ours, "--all-namespaces", "-l", f"vps.stack={STACK}")
    (service,) = [it for it in every if it.service == "packages"]
    assert service.ports() == [PORT]
    outside, inside = (INTERNET, urlsplit(index.url).port), (service.address, PORT)
    targets = {
        pod.process: [
            (socket.AF_INET, *outside),
            *((socket.AF_INET, it.address, port) for it in every if it != pod for port in it.ports()),
        ]
        for pod in every
    }
    found = arrive(targets)
    # The edge may go out, to have certificates.
    assert {pod.service for pod in every if outside in found[pod.process]} == {"packages", "traefik"}
    assert {pod.name for pod in every if inside in found[pod.process]} == {unit.name for unit in units}
    assert found[service.process] == {outside}


def test_without_the_service_code_with_known_packages_runs_on(
    ours: Cluster, units: list[Pod], edge: httpx.Client, index: Index
) -> None:
    index.package("later")
    scale(ours, NAMESPACE, "packages", 0)
    try:
        until(lambda: not ours.kubectl("-n", NAMESPACE, "get", "pods", "-o", "name"), 60, "the service to end")
        for environment in PROGRAMS:
            runs_in_each(ours, units, edge, environment)
        refused = execute(edge, "python", "import later", "later")
        assert (refused.status_code, refused.json()["code"]) == (503, Code.PACKAGES_UNAVAILABLE)
        assert int(refused.headers["retry-after"]) > 0
        assert execute(edge, "python", "print(1)").json()["stdout"] == "1\n"
    finally:
        scale(ours, NAMESPACE, "packages", 1)
    answer = execute(edge, "python", "import later; print(later.value)", "later")
    assert (answer.status_code, answer.json().get("stdout")) == (httpx.codes.OK, "1\n"), answer.text


def test_a_copy_that_starts_again_has_the_sets_of_the_earlier_one(
    ours: Cluster, units: list[Pod], edge: httpx.Client, index: Index
) -> None:
    """Its store goes with the pod, not with the container."""
    asked = len(index.asked)
    for unit in units:
        stop = "import os, signal; os.kill(1, signal.SIGTERM)"
        with contextlib.suppress(subprocess.CalledProcessError):  # the command may end with its container
            ours.kubectl("-n", UNITS, "exec", unit.name, "-c", COPY, "--", "python", "-c", stop)
        until(functools.partial(has_started_again, ours, unit), 90, "a copy service that runs again")
    runs_in_each(ours, units, edge, "python")
    assert len(index.asked) == asked


def has_started_again(cluster: Cluster, unit: Pod) -> bool:
    """Whether the unit's copy service runs for the second time."""
    pod = json.loads(cluster.kubectl("-n", UNITS, "get", "pod", unit.name, "-o", "json"))
    (copy,) = [it for it in pod["status"]["initContainerStatuses"] if it["name"] == COPY]
    return (copy["restartCount"], copy["ready"]) == (1, True)
