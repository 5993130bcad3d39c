"""The executor of a pod that the cluster isolates: its user namespace, /proc and control groups are the runtime's work.

With version 2 of control groups, as on the emulated VPS, all of that is as a cluster gives it. With version 1 the test
gives the pod its control groups, which no cluster does.
"""

import copy
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.executor.launcher import WITH_OWN_USERS
from app.profile import FLOOR
from infra.services.sandbox import EXECUTOR_ENTRYPOINT
from tests.emulated.test_core import FORKS, MEMORY_BOMB
from tests.sandbox import node, pod
from tests.sandbox.attacks.carrier import CALLS
from tests.sandbox.attacks.test_takeover import (
    ATTACK,
    DEVICES,
    HELPERS,
    HOLDING_NOTHING,
    LAUNCHER,
    NAMESPACED,
    test_calls_that_nothing_here_needs_are_refused,
    test_no_control_group_but_the_sandboxes_is_written,
    test_nothing_of_the_image_or_on_the_disk_is_written,
)
from tests.sandbox.executor import Host
from tests.sandbox.pod import PodExecutor

__all__ = (
    "test_calls_that_nothing_here_needs_are_refused",
    "test_no_control_group_but_the_sandboxes_is_written",
    "test_nothing_of_the_image_or_on_the_disk_is_written",
)
VARIABLES = {"EXECUTOR_ENVIRONMENTS": '["python", "bash"]'}
LOOK = """
import json, os
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
print(json.dumps({
    "status": {name: status[name].strip() for name in ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp")},
    "users": [os.getuid(), open("/proc/self/uid_map").read().split()],
    "interfaces": os.listdir("/sys/class/net"),
    "devices": {name: [os.stat(f"/dev/{name}").st_dev, os.stat(f"/dev/{name}").st_ino] for name in ("null", "zero")},
}))
"""


@pytest.fixture
def executor(host: Host, names: Iterator[str]) -> Iterator[PodExecutor]:
    made = PodExecutor(host, next(names))
    yield made
    made.remove()


@pytest.fixture(scope="module")
def serving(host: Host, names: Iterator[str]) -> Iterator[PodExecutor]:
    """An executor that has tried each limit of a sandbox."""
    made = PodExecutor(host, next(names))
    try:
        made.start(pod.declared(), VARIABLES)
        made.wait_until_ready()
        yield made
    finally:
        made.remove()


@pytest.fixture(scope="module")
def found(host: Host, names: Iterator[str]) -> Iterator[Any]:
    """What the attack has found in the place of the executor."""
    made = PodExecutor(host, next(names))
    try:
        launcher = LAUNCHER.format(attack=CALLS + HELPERS + ATTACK)
        made.start(pod.declared(), VARIABLES, [*EXECUTOR_ENTRYPOINT[:-2], "-c", launcher])
        yield json.loads(made.end().splitlines()[-1])
    finally:
        made.remove()


def test_hello(serving: PodExecutor) -> None:
    hellos = {"python": "print('hello')", "bash": "echo hello"}
    answers = {name: serving.execute(name, code) for name, code in hellos.items()}
    assert {name: (it["status"], it["output"]) for name, it in answers.items()} == dict.fromkeys(
        hellos, ("success", "hello\n")
    )


def test_limits_of_a_sandbox(serving: PodExecutor) -> None:
    assert serving.execute("python", MEMORY_BOMB)["status"] == "memory_limit"
    again = 11
    assert serving.execute("python", FORKS)["stdout"] == f"{FLOOR.pids - 2} {again}\n"


def test_a_sandbox_holds_nothing_and_shares_nothing(serving: PodExecutor) -> None:
    first, second = (json.loads(serving.execute("python", LOOK)["stdout"]) for _ in range(2))
    none = "0" * 16
    assert first["status"] == {"CapEff": none, "CapBnd": none, "NoNewPrivs": "1", "Seccomp": "2"}
    first_user, users = WITH_OWN_USERS.users
    assert first["users"][1] == ["0", str(first_user), str(users)]
    assert first["users"][0] != second["users"][0]
    assert min(first["users"][0], second["users"][0]) >= 1000
    assert first["interfaces"] == ["lo"]
    assert all(first["devices"][name] != second["devices"][name] for name in first["devices"])


def test_an_executor_that_was_taken_over_is_no_user_of_the_pod_and_of_the_node(found: Any) -> None:
    first, count = WITH_OWN_USERS.users
    assert found["user"] == [[0, 0, 0], ["0", str(first), str(count)]]
    assert found["identity"] == dict.fromkeys(found["identity"], "EINVAL")


def test_it_makes_or_mounts_no_device_of_the_node(found: Any) -> None:
    assert found["device"] == dict.fromkeys(found["device"], "EPERM")
    assert found["memory of the kernel"] in {"EACCES", "ENOENT", "EPERM"}
    assert set(found["devices"]) <= DEVICES
    assert found["file systems with a device"] == []
    assert set(found["file systems"]) <= HOLDING_NOTHING | {"sysfs"}


def test_it_writes_no_setting_of_the_node(found: Any) -> None:
    """/proc is not covered there. Settings of networks are its own, whose network has no interface."""
    assert [path for path in found["sysctls"] if not path.startswith((*NAMESPACED, "/proc/sys/net/"))] == []
    assert [path for path in found["of /proc"] if not path.startswith("/proc/pressure/")] == []
    assert found["of /sys"] == []


def test_it_reaches_no_other_process_and_no_network(found: Any) -> None:
    assert found["processes"] == ["1"]
    assert set(found["launcher"]["others"]) <= {"python", "wait"}
    assert found["launcher"]["user namespaces"] == [found["user namespace"]]
    assert found["interfaces"] == ["lo"]
    assert {place for place, answer in found["reached"].items() if answer == "done"} <= {"packets"}


def _with_node_users(it: dict[str, Any]) -> None:
    it["hostUsers"] = True


def _with_covered_proc(it: dict[str, Any]) -> None:
    it["initContainers"][0]["securityContext"]["procMount"] = "Default"


def _without(capability: str) -> Callable[[dict[str, Any]], None]:
    def change(it: dict[str, Any]) -> None:
        it["initContainers"][0]["securityContext"]["capabilities"]["add"].remove(capability)

    return change


@pytest.mark.parametrize(
    ("change", "delegated", "words"),
    [
        (_with_node_users, True, ("ids of this container are the node's", "containerd does before version 2.0")),
        (_with_covered_proc, True, ("/proc and /sys could not be uncovered", "procMount: Unmasked")),
        (lambda it: None, False, ("control groups could not be given", "cluster.units.runtime_class")),
        *((_without(it), True, (f"the capabilities that it lacks: {it}",)) for it in WITH_OWN_USERS.capabilities),
    ],
    ids=["users of the node", "a covered /proc", "read-only groups", *WITH_OWN_USERS.capabilities],
)
def test_a_pod_that_lacks_a_part_is_refused_with_the_cause_and_the_fix(
    executor: PodExecutor, change: Callable[[dict[str, Any]], None], delegated: bool, words: tuple[str, ...]
) -> None:
    lacking = copy.deepcopy(pod.declared())
    change(lacking)
    executor.start(lacking, VARIABLES, delegated=delegated)
    said = executor.end()
    assert said.startswith("The executor can't start: ")
    assert len(said.splitlines()) == 1, said
    for word in words:
        assert word in said


def test_the_pods_users_are_as_many_as_a_kubelet_gives() -> None:
    assert WITH_OWN_USERS.users[0] + WITH_OWN_USERS.users[1] == node.USERS
