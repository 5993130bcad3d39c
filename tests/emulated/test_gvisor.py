"""gVisor holds the sandboxes of the core on an emulated VPS: control groups of version 2, systemd and AppArmor.

Before the executor serves, it has tried each limit, that of memory by the group's memory.events. The tests run in
order, each on the state that the one before left.
"""

from functools import partial

import pytest

from app.profile import FLOOR
from tests.emulated.machine import Machine
from tests.emulated.test_core import FORKS, HELLOS, MEMORY_BOMB, test_every_service_becomes_healthy
from tests.sandbox.attacks.test_isolation import LOCKS, REACHABLE_INSIDE, found_by_another, holder_and_seeker
from tests.sandbox.attacks.test_resources import FORK_BOMBS
from tests.sandbox.processes import RUNTIME, output_json
from tools.stack.local_stack import Stack

__all__ = ("test_every_service_becomes_healthy",)
pytestmark = pytest.mark.skipif(RUNTIME != "runsc", reason="needs VPS_SANDBOX_RUNTIME=runsc")
KERNEL = "import os; print(os.uname().release)"
EXECUTOR = "$(docker ps --no-trunc --quiet --filter label=vps.service=executor)"
GROUP = f"/sys/fs/cgroup/system.slice/docker-{EXECUTOR}.scope"
"""The folder of the executor's control group on the host; below it are the sandboxes'."""
SECONDS = 8
"""For which code seeks or holds channels, on an emulated machine."""


def kills(machine: Machine) -> int:
    """How many processes the kernel has killed for the memory limit of a group, the executor's or one below."""
    events = machine.shell(f"cat {GROUP}/memory.events").split()
    return int(events[events.index("oom_kill") + 1])


def test_hello_under_a_kernel_that_is_not_the_hosts(machine: Machine, core: Stack) -> None:
    assert machine.execute("python", HELLOS["python"])["output"] == "hello\n"
    release = machine.execute("python", KERNEL)["output"]
    assert release.strip()
    assert release != machine.shell("uname -r")


def test_the_executors_profile_holds_every_process_of_gvisor(machine: Machine, core: Stack) -> None:
    """Those in the groups of the sandboxes that wait."""
    groups = f"find {GROUP}/sandboxes -mindepth 2 -name cgroup.procs -not -path '*/executor/*'"
    labels = f"for it in $({groups} -exec cat {{}} +); do cat /proc/$it/attr/current; done"
    assert set(machine.shell(f"{labels}; true").splitlines()) == {"vps-executor (enforce)"}


def test_a_memory_bomb_is_killed_by_the_kernel_of_the_host(machine: Machine, core: Stack) -> None:
    before = kills(machine)
    assert before >= 1, "the executor has tried the limit without a kill"
    assert machine.execute("python", MEMORY_BOMB)["status"] == "memory_limit"
    assert kills(machine) > before


def test_processes_are_counted(machine: Machine, core: Stack) -> None:
    again = 11
    assert machine.execute("python", FORKS)["stdout"] == f"{FLOOR.pids - 2} {again}\n"


def test_a_fork_bomb_ends_with_its_sandbox(machine: Machine, core: Stack) -> None:
    assert machine.execute("python", FORK_BOMBS["python"])["status"] != "success"
    assert machine.execute("python", HELLOS["python"])["output"] == "hello\n"


def test_the_probe_finds_channels_within_one_sandbox(machine: Machine, core: Stack) -> None:
    assert REACHABLE_INSIDE - set(output_json(machine.execute("python", holder_and_seeker(SECONDS)))) <= LOCKS


def test_two_sandboxes_have_no_channel(machine: Machine, core: Stack) -> None:
    assert found_by_another(partial(machine.execute, "python"), SECONDS) == []
