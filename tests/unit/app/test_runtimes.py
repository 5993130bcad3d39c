"""How each OCI runtime is called, and how many of its own processes the host allows beside a sandbox's."""

import pytest

from app.profile import FLOOR
from app.runtimes import DEFAULT_RUNTIME, RUNTIMES


def test_the_default_is_known() -> None:
    assert DEFAULT_RUNTIME in RUNTIMES


def test_the_host_counts_the_processes_of_a_runtime_that_shares_its_kernel() -> None:
    assert RUNTIMES["crun"].host_pids(FLOOR.pids) == FLOOR.pids
    assert not RUNTIMES["crun"].own_kernel


def test_gvisor_counts_the_processes_itself_and_the_host_leaves_room_for_its_threads() -> None:
    assert RUNTIMES["runsc"].host_pids(FLOOR.pids) > 10 * FLOOR.pids
    assert RUNTIMES["runsc"].own_kernel


@pytest.mark.parametrize("option", ["--oci-seccomp", "--network=none", "--ignore-cgroups"])
def test_gvisor_is_held_by_options_that_it_does_not_default_to(option: str) -> None:
    assert option in RUNTIMES["runsc"].options


def test_no_runtime_makes_control_groups_of_its_own() -> None:
    assert "--cgroup-manager=disabled" in RUNTIMES["crun"].options
