"""The core on an emulated VPS whose systemd has control groups of version 1, with either of Docker's drivers.

The version is the kernel's from its boot on, so these tests have a machine of their own: see `CGROUPS`.
"""

import re

import pytest

from app.profile import FLOOR
from tests.emulated.drivers import restart_with
from tests.emulated.machine import CGROUPS, SECONDS, Machine, cgroup_version
from tests.emulated.test_core import FORKS, HELLOS, LABEL, MEMORY_BOMB, SERVICES, figures
from tests.sandbox.attacks.test_resources import FORK_BOMBS
from tests.waiting import until
from tools.stack.local_stack import Stack

pytestmark = pytest.mark.skipif(cgroup_version() != 1, reason=f"needs {CGROUPS}=1")
EXECUTOR = "$(docker ps --no-trunc --quiet --filter label=vps.service=executor)"
SANDBOXES = f"/sys/fs/cgroup/memory/system.slice/docker-{EXECUTOR}.scope/sandboxes"
"""The folder of the sandboxes' groups in one hierarchy, on the host."""


@pytest.fixture(scope="module")
def by_systemd(prepared_machine: Machine, core: Stack) -> Machine:
    """The machine, whose Docker has systemd make its groups."""
    restart_with("systemd", prepared_machine, core)
    return prepared_machine


def hellos(machine: Machine) -> dict[str, str]:
    """What each environment of the core says."""
    return {environment: str(machine.execute(environment, code)["output"]) for environment, code in HELLOS.items()}


def test_hello_with_dockers_own_driver(machine: Machine, core: Stack) -> None:
    """With version 1, this driver is Docker's default."""
    info = machine.engine.client().info()
    assert (info["CgroupVersion"], info["CgroupDriver"]) == ("1", "cgroupfs")
    assert hellos(machine) == dict.fromkeys(HELLOS, "hello\n")


def test_hello_with_systemds_driver(by_systemd: Machine) -> None:
    assert hellos(by_systemd) == dict.fromkeys(HELLOS, "hello\n")
    assert by_systemd.execute("python", LABEL)["output"] == "vps-executor//&vps-sandbox (enforce)\n"


def test_the_sandboxes_are_in_the_group_that_systemd_has_made(by_systemd: Machine) -> None:
    def found() -> bool:
        return any(re.fullmatch("[0-9a-f]{32}", name) for name in by_systemd.shell(f"ls {SANDBOXES}").split())

    until(found, SECONDS, "sandboxes that wait")


def test_limits_of_a_sandbox(by_systemd: Machine) -> None:
    assert by_systemd.execute("python", MEMORY_BOMB)["status"] == "memory_limit"
    again = 11
    assert by_systemd.execute("python", FORKS)["stdout"] == f"{FLOOR.pids - 2} {again}\n"


def test_a_fork_bomb_ends_with_its_sandbox(by_systemd: Machine) -> None:
    assert by_systemd.execute("python", FORK_BOMBS["python"])["status"] != "success"
    assert by_systemd.execute("python", HELLOS["python"])["output"] == "hello\n"


def test_the_exporter_finds_the_services_in_systemds_groups(by_systemd: Machine, core: Stack) -> None:
    found = figures(by_systemd, core)
    assert {name for name in SERVICES if found[name]["container_pids"] >= 1} == SERVICES
    assert all(0 < it["container_memory_bytes"] <= it["container_memory_limit_bytes"] for it in found.values())
