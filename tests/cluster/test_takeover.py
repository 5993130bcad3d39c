"""Attacks in a unit's pod: of a visitor's code, and of somebody who runs code as the executor."""

import json
from typing import Any

import httpx
import pytest

from infra.services.sandbox import EXECUTOR_ENTRYPOINT
from offline.kubernetes import layout
from tests.cluster.conftest import STACK, UNITS
from tests.cluster.running import Pod, pods
from tests.cluster.test_network import CONTROL_PLANE, METADATA
from tests.sandbox.attacks.carrier import CALLS
from tests.sandbox.attacks.test_takeover import (
    ATTACK,
    DEVICES,
    HELPERS,
    HOLDING_NOTHING,
    LAUNCHER,
    NAMESPACED,
    test_calls_that_nothing_here_needs_are_refused,
    test_it_has_every_capability_in_its_own_user_namespace,
    test_no_control_group_but_the_sandboxes_is_written,
)
from tools.machine.kubernetes import Kubernetes
from tools.stack.cluster_stack import ClusterStack

__all__ = (
    "test_calls_that_nothing_here_needs_are_refused",
    "test_it_has_every_capability_in_its_own_user_namespace",
    "test_no_control_group_but_the_sandboxes_is_written",
)
CODE = """
import json, os, socket
found = {"interfaces": os.listdir("/sys/class/net"), "reached": []}
for host, port in PLACES:
    try:
        socket.create_connection((host, port), 1).close()
        found["reached"].append([host, port])
    except OSError:
        pass
files = ("/var/run/secrets", "/run/secrets", "/etc/kubernetes", "/var/lib/kubelet")
found["of Kubernetes"] = [path for path in files if os.path.exists(path)]
found["variables"] = [name for name in os.environ if name.startswith("KUBERNETES")]
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def places(cluster: Kubernetes, stack: ClusterStack) -> list[tuple[str, int]]:
    """Addresses of the control plane, the nodes, a metadata service and all pods, with ports that are open."""
    assert cluster.ours
    assert stack
    found: list[Pod] = pods(cluster.ours, "--all-namespaces", "-l", f"vps.stack={STACK}")
    of_nodes = [(host, port) for _, host, port in CONTROL_PLANE]
    return [*of_nodes, (METADATA, 80), (layout.DNS_SERVICE, 53), *((it.address, it.ports()[0]) for it in found)]


@pytest.fixture(scope="module")
def found(cluster: Kubernetes, places: list[tuple[str, int]]) -> Any:
    """What the attack has found in the place of the executor, in a pod that the API server takes for a unit's."""
    assert cluster.ours
    deployment = json.loads(cluster.ours.kubectl("-n", UNITS, "get", "deployment", "sandbox", "-o", "json"))
    spec = deployment["spec"]["template"]["spec"]
    (executor,) = spec.pop("initContainers")
    for part in ("startupProbe", "readinessProbe", "livenessProbe", "restartPolicy"):
        executor.pop(part, None)
    further = f"UNREACHABLE += [(2, tuple(it)) for it in {places!r}]\n"
    launcher = LAUNCHER.format(attack=CALLS + HELPERS + further + ATTACK)
    executor |= {"command": list(EXECUTOR_ENTRYPOINT[:-2]), "args": ["-c", launcher]}
    spec |= {"containers": [executor], "restartPolicy": "Never"}
    del spec["serviceAccount"]
    metadata = {"name": "taken", "namespace": UNITS, "labels": {"vps.stack": STACK}}
    manifest = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
    cluster.ours.kubectl("create", "-f", "-", stdin=json.dumps(manifest))
    try:
        ended = ("--for=jsonpath={.status.containerStatuses[0].state.terminated}", "pod/taken", "--timeout=120s")
        cluster.ours.kubectl("-n", UNITS, "wait", *ended)
        log = cluster.ours.kubectl("-n", UNITS, "logs", "taken")
    finally:
        cluster.ours.kubectl("-n", UNITS, "delete", "pod", "taken", "--grace-period=1")
    return json.loads(log.splitlines()[-1])


def test_no_device_of_the_node_is_made_or_mounted(found: Any) -> None:
    """With a network namespace of one's own, sysfs can be mounted. Kubernetes adds a file for last words to each
    container's /dev."""
    assert found["device"] == dict.fromkeys(found["device"], "EPERM")
    assert set(found["devices"]) <= DEVICES | {"termination-log"}
    assert found["file systems with a device"] == []
    assert set(found["file systems"]) <= HOLDING_NOTHING | {"sysfs"}


def test_no_setting_of_the_node_is_written(found: Any) -> None:
    """Those of networks are the executor's own, whose network has no interface."""
    own = (*NAMESPACED, "/proc/sys/net/")
    assert [path for path in found["sysctls"] if not path.startswith(own)] == []
    assert [path for path in found["of /proc"] if not path.startswith("/proc/pressure/")] == []
    assert found["of /sys"] == []


def test_nothing_of_the_image_is_written(found: Any) -> None:
    """The folder of the socket to the api is in memory."""
    assert {path for path, answer in found["written"].items() if answer == "done"} <= {"/run/executor/x"}


def test_of_other_processes_namespaces_only_ones_own_network_is_entered(found: Any) -> None:
    launcher = found["launcher"]
    assert {name for name, answer in launcher["refused"].items() if not isinstance(answer, str)} <= {"net"}
    assert launcher["user namespaces"] == [found["user namespace"]]
    assert launcher["its root"] == []


def test_no_network_is_reached(found: Any) -> None:
    """Packets can be made, and go nowhere."""
    assert found["interfaces"] == ["lo"]
    assert {place for place, answer in found["reached"].items() if answer == "done"} <= {"packets"}


def test_nothing_of_the_cluster_is_reached_from_the_executor(found: Any, places: list[tuple[str, int]]) -> None:
    answers = {str(tuple(place)): found["reached"][str(tuple(place))] for place in places}
    assert answers == dict.fromkeys(answers, "ENETUNREACH")


def test_a_visitors_code_finds_nothing_of_the_cluster(edge: httpx.Client, places: list[tuple[str, int]]) -> None:
    code = CODE.replace("PLACES", repr(places))
    answer = edge.post("/execute", json={"environment": "python", "code": code}).json()
    assert answer["status"] == "success", answer
    assert json.loads(answer["output"]) == {"interfaces": ["lo"], "reached": [], "of Kubernetes": [], "variables": []}
