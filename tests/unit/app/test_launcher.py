"""What the launcher says of a container that it can't prepare, and the executor of one where no sandbox starts."""

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest

from app.executor import __main__ as executor
from app.executor import cgroups, launcher, syscalls
from app.executor.engine import EngineError
from app.executor.launcher import WITH_HOST_USERS, WITH_OWN_USERS, Container, LauncherError
from app.executor.workshop import OciWorkshop
from infra.services import sandbox

WHOLE = "0 0 4294967295\n"
OF_ROOTLESS_DOCKER = "0 1000 1\n1 100000 65536\n"
OF_REMAPPED_NAMESPACES = "0 100000 65536\n"
GIVEN = {"EXECUTOR_PROFILE": "{}", "EXECUTOR_ENVIRONMENTS": '["python"]'}
OF_A_POD = "         0     200000      65536\n"


class Root(NamedTuple):
    f_flag: int


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The /proc/self of a container that lacks nothing."""
    own = tmp_path / "self"
    own.mkdir()
    hold(own, *WITH_HOST_USERS.capabilities)
    for name in ("uid_map", "gid_map"):
        (own / name).write_text(WHOLE)
    monkeypatch.setattr(launcher, "_PROC", str(tmp_path))
    monkeypatch.setattr(os, "statvfs", lambda _: Root(os.ST_RDONLY))
    return own


def hold(own: Path, *capabilities: str) -> None:
    held = sum(1 << launcher._NUMBERS[name] for name in capabilities)
    (own / "status").write_text(f"Name:\tpython\nCapPrm:\t0000000000000000\nCapEff:\t{held:016x}\nCapBnd:\t00\n")


@pytest.mark.usefixtures("proc")
def test_a_container_as_the_program_makes_it_passes() -> None:
    assert launcher.find_container(host_users=True) is WITH_HOST_USERS


def test_a_pod_with_a_user_namespace_passes_where_it_is_expected(proc: Path) -> None:
    for name in ("uid_map", "gid_map"):
        (proc / name).write_text(OF_A_POD)
    assert launcher.find_container(host_users=False) is WITH_OWN_USERS


@pytest.mark.parametrize("ids", [("uid_map", "user"), ("gid_map", "group")])
@pytest.mark.parametrize(
    ("ranges", "cause"),
    [
        (WHOLE, "ids of this container are the node's: its runtime ignores hostUsers: false"),
        ("0 200000 1000\n", "ids 1 to 65535 do not exist in this container. Use a cluster"),
    ],
)
def test_a_pod_without_the_user_namespace_that_is_expected_is_refused(
    proc: Path, ids: tuple[str, str], ranges: str, cause: str
) -> None:
    for name in ("uid_map", "gid_map"):
        (proc / name).write_text(OF_A_POD)
    (proc / ids[0]).write_text(ranges)
    with pytest.raises(LauncherError) as caught:
        launcher.find_container(host_users=False)
    assert str(caught.value).startswith(f"the {ids[1]} {cause}")
    assert "cluster.units.isolation to launcher" in str(caught.value)


@pytest.mark.parametrize("ids", [("uid_map", "user"), ("gid_map", "group")])
@pytest.mark.parametrize("ranges", ["", OF_ROOTLESS_DOCKER, OF_REMAPPED_NAMESPACES, "100000 100000 65535\n"])
def test_a_container_without_further_ids_is_refused(proc: Path, ids: tuple[str, str], ranges: str) -> None:
    (proc / ids[0]).write_text(ranges)
    with pytest.raises(LauncherError) as caught:
        launcher.find_container(host_users=True)
    assert str(caught.value) == (
        f"the {ids[1]} ids 100000 to 165535 do not exist in this container, so Docker is rootless, or remaps user "
        "namespaces. Use a Docker that runs as root without userns-remap (docs/GETTING_STARTED.md)."
    )


@pytest.mark.usefixtures("proc")
def test_a_root_that_can_be_written_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "statvfs", lambda _: Root(0))
    with pytest.raises(LauncherError, match=r"root can be written\. Start the container with a read-only root\.$"):
        launcher.find_container(host_users=True)


@pytest.mark.parametrize(
    ("container", "held", "fix"),
    [
        (WITH_HOST_USERS, WITH_HOST_USERS.capabilities, f"{WITH_HOST_USERS.fix}."),
        (
            WITH_HOST_USERS,
            ("SYS_ADMIN", "SETUID", "CHOWN"),
            "Give the container the capabilities that it lacks: SETGID, MKNOD (docs/SECURITY.md).",
        ),
        (WITH_OWN_USERS, WITH_OWN_USERS.capabilities, f"{WITH_OWN_USERS.fix}."),
        (
            WITH_OWN_USERS,
            ("SETUID", "CHOWN"),
            "Give the container the capabilities that it lacks: SETGID (docs/SECURITY.md).",
        ),
    ],
)
def test_a_step_that_fails_is_named_with_the_cause_and_the_capabilities_that_lack(
    proc: Path, container: Container, held: tuple[str, ...], fix: str
) -> None:
    hold(proc, *held)

    def refused() -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM), "/run/devices")

    with pytest.raises(LauncherError) as caught:
        launcher._try(container, "the devices could not be made", refused)
    assert str(caught.value) == f"the devices could not be made: Operation not permitted. {fix}"


def test_every_step_of_the_preparation_has_its_own_words(proc: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr(launcher, "_try", lambda _, doing, step: said.append(doing))
    launcher._prepare(WITH_HOST_USERS)
    assert len(set(said)) == len(said) == 5


@pytest.mark.parametrize(
    ("container", "interfaces", "own"),
    [(WITH_HOST_USERS, ["lo"], False), (WITH_HOST_USERS, ["lo", "eth0"], True), (WITH_OWN_USERS, ["lo"], True)],
)
def test_the_executor_leaves_a_network_that_its_container_has(
    monkeypatch: pytest.MonkeyPatch, container: Container, interfaces: list[str], own: bool
) -> None:
    monkeypatch.setattr(socket, "if_nameindex", lambda: list(enumerate(interfaces, 1)))
    assert bool(launcher._namespaces(container) & syscalls.NEWNET) == own


@pytest.mark.usefixtures("proc")
@pytest.mark.parametrize("error", [LauncherError("cause", "fix"), cgroups.CgroupError("controllers memory")])
def test_the_launcher_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, error: LauncherError | cgroups.CgroupError
) -> None:
    def refused(_: Container) -> None:
        raise error

    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(launcher, "_prepare", refused)
    with pytest.raises(SystemExit) as caught:
        launcher.main()
    assert caught.value.code == f"The executor can't start: {error}"


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({}, "environment 'python' does not work: there is no folder {roots}/python. Build images/sandbox-python"),
        (
            {"EXECUTOR_ENVIRONMENTS": '["bash"]', "EXECUTOR_RUNTIME": "runsc"},
            "the image has no runsc. Set EXECUTOR_RUNTIME to crun",
        ),
    ],
)
def test_an_executor_without_a_part_of_its_image_names_the_part(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variables: dict[str, str], words: str
) -> None:
    (tmp_path / "bash").mkdir()
    monkeypatch.setattr(shutil, "which", lambda _: None)
    assert ended(monkeypatch, tmp_path, **variables).startswith(
        f"The executor can't start: {words.format(roots=tmp_path)}"
    )


@pytest.mark.parametrize("error", [EngineError("pivot_root"), PermissionError(errno.EPERM, "no")])
def test_an_executor_that_can_start_no_sandbox_says_what_its_container_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, error: Exception
) -> None:
    def refused(_: OciWorkshop) -> int:
        raise error

    (tmp_path / "python").mkdir()
    monkeypatch.setattr(shutil, "which", str)
    monkeypatch.setattr(OciWorkshop, "prepare", refused)
    assert ended(monkeypatch, tmp_path) == f"The executor can't start: {error}. {WITH_HOST_USERS.fix}."


def ended(monkeypatch: pytest.MonkeyPatch, roots: Path, **variables: str) -> str:
    """The exit code of the executor, and its log."""
    for name, value in {**GIVEN, "EXECUTOR_ROOTS": str(roots), **variables}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(executor, "configure_logs", lambda: None)
    with pytest.raises(SystemExit) as caught:
        executor.main()
    return str(caught.value.code)


def test_the_program_gives_the_capabilities_that_are_needed_and_no_other() -> None:
    assert set(sandbox.EXECUTOR_CAPABILITIES) == set(WITH_HOST_USERS.capabilities)
    assert set(sandbox.WITH_OWN_USERS) == set(WITH_OWN_USERS.capabilities)
