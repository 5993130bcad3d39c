"""Units that the cluster isolates. This cluster's containerd has no user namespaces, so that it can't."""

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest

from policies.inputs import plain
from tests.cluster.conftest import CORE
from tests.cluster.running import refusal
from tests.pods import ISOLATED, ISOLATED_FAULTS
from tests.program import IMAGES, platform_config, run_program
from tests.waiting import until
from tools.machine.kubernetes import Kubernetes
from tools.machine.preparation import Preparation

STACK = "vps-isolated"
SECONDS = 60


@pytest.fixture(scope="module")
def unit(cluster: Kubernetes, prepared: Preparation) -> Iterator[dict[str, Any]]:
    """The pod of a unit, with the namespace and the rules of its stack on the cluster."""
    assert cluster.ours
    images = {**IMAGES, **{name: prepared.images.references[name] for name in CORE}}
    given = {"images": images, "cluster": {"edge": "NodePort", "units": ISOLATED}}
    made = [(it, plain(it.inputs)) for it in run_program("cluster", platform_config("cluster", name=STACK, **given))]
    (pod,) = (inputs["spec"]["template"]["spec"] for it, inputs in made if it.name == "sandbox-deployment")
    # Every namespace has an account `default`.
    del pod["serviceAccountName"]
    objects = [inputs for it, inputs in made if "admissionregistration" in it.type or it.name == "units-namespace"]
    manifest = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
    cluster.ours.kubectl("create", "-f", "-", stdin=manifest)
    try:
        fault = changed(pod, next(iter(ISOLATED_FAULTS)))
        until(lambda: refusal(cluster, fault, STACK), SECONDS, "rules that are in force")
        yield pod
    finally:
        cluster.ours.kubectl("delete", "-f", "-", stdin=manifest)


def changed(unit: dict[str, Any], fault: str) -> dict[str, Any]:
    pod = copy.deepcopy(unit)
    ISOLATED_FAULTS[fault][1](pod)
    return pod


def test_the_api_server_takes_such_a_unit(cluster: Kubernetes, unit: dict[str, Any]) -> None:
    assert refusal(cluster, unit, STACK) == ""


@pytest.mark.parametrize("fault", ISOLATED_FAULTS)
def test_the_api_server_refuses_such_a_unit_with_one_fault(
    cluster: Kubernetes, unit: dict[str, Any], fault: str
) -> None:
    said = refusal(cluster, changed(unit, fault), STACK)
    assert any(f"{STACK}-{name}: " in said for name in ISOLATED_FAULTS[fault][0]), said


def test_a_cluster_without_user_namespaces_starts_no_such_unit_and_says_why(
    cluster: Kubernetes, unit: dict[str, Any]
) -> None:
    """The kubelet does. An older one passes it on to containerd, which ignores it, and the launcher refuses."""
    assert cluster.ours
    # Without the files of ConfigMaps, which are not there.
    pod = copy.deepcopy(unit)
    pod["volumes"] = [it for it in pod["volumes"] if "emptyDir" in it]
    kept = {it["name"] for it in pod["volumes"]}
    for container in (*pod["initContainers"], *pod["containers"]):
        container["volumeMounts"] = [it for it in container["volumeMounts"] if it["name"] in kept]
    metadata = {"name": "tried", "namespace": f"{STACK}-units", "labels": {"vps.stack": STACK}}
    manifest = json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod})
    cluster.ours.kubectl("create", "-f", "-", stdin=manifest)
    of_pod = ("-n", f"{STACK}-units", "get", "events", "--field-selector", "involvedObject.name=tried")
    try:

        def refused() -> bool:
            assert cluster.ours
            said = cluster.ours.kubectl(*of_pod, "-o", "jsonpath={.items[*].message}")
            return "can't set `spec.hostUsers: false`" in said

        until(refused, SECONDS, "a refusal by the kubelet")
        status = json.loads(cluster.ours.kubectl("-n", f"{STACK}-units", "get", "pod", "tried", "-o", "json"))["status"]
        assert status["phase"] == "Pending"
    finally:
        cluster.ours.kubectl("delete", "-f", "-", "--grace-period=1", stdin=manifest)
