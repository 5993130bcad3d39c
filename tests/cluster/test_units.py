"""Units that are drained or killed while visitors' code runs in them."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import pytest

from app.wire.problems import Code
from offline.kubernetes.cluster import Cluster
from tests.cluster.conftest import STACK, UNITS
from tests.cluster.running import Pod, memory_limit, pods, processes
from tests.waiting import until
from tools.machine.kubernetes import Kubernetes
from tools.stack.cluster_stack import ClusterStack

VISITORS = 6
SECONDS = 1
"""What each execution takes, so that some run in each unit at any time."""
DRAINED = "node-2"
LEFT = 100 * 2**20
"""Bytes that an executor may take besides those that it has. Code in one sandbox may take more."""


@dataclass
class Load:
    """Visitors who run code without a pause, over connections of their own."""

    edge: httpx.Client
    ended: threading.Event = field(default_factory=threading.Event)
    answers: list[tuple[float, httpx.Response]] = field(default_factory=list)
    """When each request was sent, and its answer."""

    def run(self) -> None:
        code = {"environment": "python", "code": f"import time\ntime.sleep({SECONDS})\nprint('done')"}
        while not self.ended.is_set():
            began = time.monotonic()
            self.answers.append((began, self.edge.post("/execute", json=code)))

    @property
    def lost(self) -> list[tuple[float, httpx.Response]]:
        return [
            (began, it)
            for began, it in self.answers
            if it.status_code != httpx.codes.OK or it.json()["output"] != "done\n"
        ]

    def wait_for_more(self) -> None:
        """Wait until as many answers have come again as visitors ask at a time."""
        count = len(self.answers)
        until(lambda: len(self.answers) >= count + 2 * VISITORS, 60, "answers")


@pytest.fixture
def load(edge: httpx.Client) -> Iterator[Load]:
    load = Load(edge)
    with ThreadPoolExecutor(VISITORS) as visitors:
        running = [visitors.submit(load.run) for _ in range(VISITORS)]
        try:
            load.wait_for_more()
            yield load
        finally:
            load.ended.set()
    for it in running:
        it.result()


@pytest.fixture
def ours(cluster: Kubernetes, stack: ClusterStack) -> Cluster:
    """The cluster, with two units."""
    assert stack
    assert cluster.ours
    cluster.ours.kubectl("-n", UNITS, "scale", "deployment/sandbox", "--replicas=2")
    cluster.ours.kubectl("-n", UNITS, "rollout", "status", "deployment/sandbox", "--timeout=120s")
    return cluster.ours


def units(cluster: Cluster) -> list[Pod]:
    return pods(cluster, "-n", UNITS, "-l", "vps.service=sandbox")


@pytest.fixture
def drainable(ours: Cluster) -> Iterator[Cluster]:
    """The node to drain is for units alone: neither the one edge nor the one store is there."""
    found = pods(ours, "--all-namespaces", "-l", f"vps.stack={STACK}")
    assert {pod.service for pod in found if pod.node == DRAINED} == {"sandbox"}
    yield ours
    ours.kubectl("uncordon", DRAINED)


def restarts(cluster: Cluster) -> list[str]:
    """How often each container of the units was started again."""
    kinds = ("initContainerStatuses", "containerStatuses")
    counts = "".join(f"{{.items[*].status.{kind}[*].restartCount}} " for kind in kinds)
    return cluster.kubectl("-n", UNITS, "get", "pods", "-o", f"jsonpath={counts}").split()


def run(edge: httpx.Client, code: str) -> tuple[str, str]:
    """The status and the output of an execution in Python."""
    answer = edge.post("/execute", json={"environment": "python", "code": code})
    assert answer.status_code == httpx.codes.OK, answer.text
    return answer.json()["status"], answer.json()["output"]


def test_code_that_takes_all_memory_of_its_sandbox_ends_with_a_status(ours: Cluster, edge: httpx.Client) -> None:
    before = restarts(ours)
    assert run(edge, "held = []\nwhile True: held.append(bytes([1]) * 2**20)")[0] == "memory_limit"
    assert run(edge, "print('done')") == ("success", "done\n")
    assert restarts(ours) == before


def test_units_without_memory_say_so_to_whose_code_was_killed_and_go_on(ours: Cluster, edge: httpx.Client) -> None:
    """The code stays below the memory of its own sandbox, and its unit has less left."""
    hog = "held = bytes([1]) * 2**20 * 200\nprint('held')"
    assert run(edge, hog) == ("success", "held\n")
    before = restarts(ours)
    limits = [memory_limit(executor) for executor in executors(ours)]
    earlier = {limit: limit.read_text() for limit, _ in limits}
    try:
        for limit, held in limits:
            limit.write_text(str(held + LEFT))
        told = edge.post("/execute", json={"environment": "python", "code": hog})
        assert (told.status_code, told.json()["code"]) == (503, "engine_unavailable")
        assert told.json()["detail"].startswith("The platform had no memory left for your code.")
    finally:
        for limit, value in earlier.items():
            limit.write_text(value)
    assert run(edge, "print('done')") == ("success", "done\n")
    assert restarts(ours) == before


def executors(cluster: Cluster) -> list[str]:
    """The identifiers of the units' executors."""
    ids = "jsonpath={.items[*].status.initContainerStatuses[0].containerID}"
    return [it.rpartition("/")[2] for it in cluster.kubectl("-n", UNITS, "get", "pods", "-o", ids).split()]


def test_no_execution_is_lost_while_a_node_is_drained(drainable: Cluster, load: Load) -> None:
    drainable.kubectl("drain", DRAINED, "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s")
    load.wait_for_more()
    assert DRAINED not in {unit.node for unit in units(drainable)}
    assert [it.text for _, it in load.lost] == []


def test_a_killed_unit_loses_only_what_ran_in_it_and_visitors_are_told(ours: Cluster, load: Load) -> None:
    """All its processes are killed at once, as the kernel does when the pod's memory is used up."""
    victim, *_ = units(ours)
    for process in [it for container in victim.containers for it in processes(container)]:
        with contextlib.suppress(ProcessLookupError):  # it has ended with another one
            os.kill(process, signal.SIGKILL)
    killed = time.monotonic()
    restarted = ("-o", "jsonpath={.status.containerStatuses[0].restartCount}")
    until(lambda: ours.kubectl("-n", UNITS, "get", "pod", victim.name, *restarted) == "1", 60, "a restart")
    load.wait_for_more()
    assert [it.text for began, it in load.lost if began > killed] == []
    assert {(it.status_code, it.json()["code"]) for _, it in load.lost} <= {(502, Code.BAD_GATEWAY)}
    ours.kubectl("-n", UNITS, "rollout", "status", "deployment/sandbox", "--timeout=120s")
