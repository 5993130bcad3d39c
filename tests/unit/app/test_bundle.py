"""The configuration that the OCI runtime is given for a sandbox of the floor's profile."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.executor import bundle, seccomp
from app.profile import FLOOR, SandboxProfile
from app.wire.protocol import Terminal

USER = 1234


def configured(
    profile: SandboxProfile = FLOOR,
    *,
    own_kernel: bool = False,
    apparmor: bool = False,
    terminal: Terminal | None = None,
) -> dict[str, Any]:
    text = bundle.configuration(
        profile,
        ["python3", "/tmp/main.py"],
        {"COLOUR": "red"},
        root=Path("/r"),
        tmp=Path("/t"),
        user=USER,
        own_kernel=own_kernel,
        apparmor=apparmor,
        terminal=terminal,
    )
    return dict(json.loads(text))


@pytest.fixture
def config() -> dict[str, Any]:
    return configured()


def mounts(config: dict[str, Any]) -> dict[str, set[str]]:
    """The options of each mount by its place."""
    return {mount["destination"]: set(mount["options"]) for mount in config["mounts"]}


def rlimits(config: dict[str, Any]) -> dict[str, int]:
    limits = config["process"]["rlimits"]
    assert all(limit["soft"] == limit["hard"] for limit in limits)
    return {limit["type"].removeprefix("RLIMIT_"): limit["hard"] for limit in limits}


def test_the_command_runs_below_pid_1_of_ours(config: dict[str, Any]) -> None:
    process = config["process"]
    assert process["args"] == ["/init", "python3", "/tmp/main.py"]
    assert (process["cwd"], sorted(name.partition("=")[0] for name in process["env"])) == (
        "/tmp",
        ["COLOUR", "HOME", "LANG", "PATH"],
    )
    assert "COLOUR=red" in process["env"]


def test_a_terminal_has_its_size_before_the_command_starts() -> None:
    process = configured(terminal=Terminal(columns=80, rows=24))["process"]
    assert process["args"] == ["/init", "-t", "80", "24", "python3", "/tmp/main.py"]
    assert "TERM=xterm-256color" in process["env"]


def test_no_privilege_is_given(config: dict[str, Any]) -> None:
    process = config["process"]
    assert process["user"] == {"uid": USER, "gid": USER, "umask": 0o022}
    assert set(process["capabilities"]) == {"ambient", "bounding", "effective", "inheritable", "permitted"}
    assert not any(process["capabilities"].values())
    assert process["noNewPrivileges"] is True


def test_a_profile_of_apparmor_comes_on_top_of_the_executors(config: dict[str, Any]) -> None:
    assert "apparmorProfile" not in config["process"]
    assert configured(apparmor=True)["process"]["apparmorProfile"] == "&vps-sandbox"


def test_the_runtime_does_not_set_the_order_of_killing(config: dict[str, Any]) -> None:
    """images/executor/enter.c sets it. runsc would set it once the sandbox runs, and fail if that has ended by then."""
    assert "oomScoreAdj" not in config["process"]


def test_only_tmp_shm_and_terminals_can_be_written(config: dict[str, Any]) -> None:
    """/dev belongs to root, and a sandbox's user can make nothing in it."""
    assert config["root"] == {"path": "/r", "readonly": True}
    places = mounts(config)
    assert set(places) == {"/proc", "/sys", "/dev", "/dev/pts", "/dev/shm", "/tmp"}
    assert "ro" in places["/sys"]
    assert "mode=755" in places["/dev"]
    assert {place for place, options in places.items() if "mode=1777" in options} == {"/dev/shm"}
    assert set(config["linux"]["readonlyPaths"]) >= {"/proc/sys", "/proc/sysrq-trigger", "/proc/bus", "/proc/irq"}
    assert "/proc/pressure" in config["linux"]["maskedPaths"]


def test_nothing_that_can_be_written_holds_programs_or_devices(config: dict[str, Any]) -> None:
    places = mounts(config)
    assert all("nosuid" in options for options in places.values())
    assert all("noexec" in options for options in places.values())
    assert {place for place, options in places.items() if "nodev" not in options} == {"/dev", "/dev/pts"}


def test_the_sizes_of_what_can_be_written(config: dict[str, Any]) -> None:
    places = mounts(config)
    assert "size=16m" in places["/dev/shm"]
    assert "size=64k" in places["/dev"]
    assert {"newinstance", "max=16"} <= places["/dev/pts"]
    assert "bind" in places["/tmp"]  # The executor has mounted it already, with a size limit.


@pytest.mark.parametrize(("own_kernel", "network"), [(False, set()), (True, {"network"})])
def test_nothing_is_shared_with_the_host_or_another_sandbox(own_kernel: bool, network: set[str]) -> None:
    """Without a kernel of its own, images/executor/enter.c has made its network, with a sysfs of that."""
    config = configured(own_kernel=own_kernel)
    namespaces = config["linux"]["namespaces"]
    assert {space["type"] for space in namespaces} == {"ipc", "mount", "pid", "uts"} | network
    (system,) = [mount for mount in config["mounts"] if mount["destination"] == "/sys"]
    assert system["source"] == ("sysfs" if own_kernel else bundle.SYSFS)
    assert not any("path" in space for space in namespaces)
    assert "/dev/mqueue" not in mounts(config)


def test_limits_of_a_process(config: dict[str, Any]) -> None:
    assert rlimits(config) == {"CORE": 1, "FSIZE": FLOOR.tmp_mb * 2**20, "MSGQUEUE": 0, "SIGPENDING": 256}
    assert rlimits(configured(SandboxProfile(tmp_mb=3)))["FSIZE"] == 3 * 2**20


def test_a_kernel_of_its_own_counts_the_processes_itself(config: dict[str, Any]) -> None:
    own = configured(own_kernel=True)
    assert rlimits(own) == {**rlimits(config), "NPROC": FLOOR.pids}
    assert (config["linux"]["seccomp"], own["linux"]["seccomp"]) == (seccomp.for_oci(), seccomp.for_gvisor())
    for changed in (config, own):
        del changed["process"]["rlimits"], changed["linux"]["seccomp"], changed["linux"]["namespaces"]
        changed["mounts"] = [mount for mount in changed["mounts"] if mount["destination"] != "/sys"]
    assert own == config
