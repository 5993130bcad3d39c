import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from docker.errors import APIError

from tests.waiting import until
from tools.console.steps import Report, StepFailed
from tools.machine import debian, docker_engine, process


@pytest.fixture(autouse=True)
def no_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """No Docker answers at the default URL, and no setting names another one."""
    url = f"unix://{tmp_path}/docker.sock"
    monkeypatch.setattr(docker_engine, "DEFAULT_URL", url)
    monkeypatch.delenv("DOCKER_HOST", raising=False)
    monkeypatch.setattr(docker_engine, "configured_url", lambda: os.environ.get("DOCKER_HOST", url))
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(docker_engine, "_RUN", tmp_path / "run")
    (tmp_path / "run").mkdir()
    monkeypatch.setattr(process, "named", lambda name: (7,))
    return url


def is_installed(monkeypatch: pytest.MonkeyPatch, yes: bool) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path=None: f"/usr/sbin/{name}" if yes else None)


def test_where_nothing_can_be_installed_the_message_says_what_to_install(
    report: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_installed(monkeypatch, False)
    monkeypatch.setattr(debian, "may_install", lambda: False)
    with pytest.raises(StepFailed, match="only on Debian or Ubuntu, as root") as caught:
        docker_engine.ensure(report)
    assert "Install Docker Engine" in caught.value.fix


def test_root_on_debian_gets_it_installed_and_started(
    report: Report, monkeypatch: pytest.MonkeyPatch, no_engine: str
) -> None:
    installed: list[str] = []
    is_installed(monkeypatch, False)
    monkeypatch.setattr(debian, "may_install", lambda: True)
    monkeypatch.setattr(debian, "install", lambda packages, report: installed.extend(packages))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(docker_engine, "start", lambda url, report: docker_engine.DockerEngine(url))
    assert docker_engine.ensure(report).url == no_engine
    assert installed == ["docker.io"]


def test_a_user_is_told_to_start_an_installed_one(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    is_installed(monkeypatch, True)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StepFailed, match="installed and does not run"):
        docker_engine.ensure(report)


def test_a_docker_that_the_user_configured_is_not_started(
    report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/other.sock")
    with pytest.raises(StepFailed, match=r"other\.sock") as caught:
        docker_engine.ensure(report)
    assert "DOCKER_HOST" in caught.value.fix


def test_on_macos_the_message_names_docker_desktop(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(StepFailed) as caught:
        docker_engine.ensure(report)
    assert "Docker Desktop" in caught.value.fix


def test_without_permission_for_the_socket_the_message_names_the_group(
    report: Report, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "docker.sock").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    with pytest.raises(StepFailed, match="no permission") as caught:
        docker_engine.ensure(report)
    assert "usermod -aG docker" in caught.value.fix


LINUX = {
    "SecurityOptions": ["name=seccomp,profile=default", "name=cgroupns"],
    "OSType": "linux",
    "OperatingSystem": "Debian GNU/Linux 12 (bookworm)",
}
MOBY = {"Components": [{"Name": "Engine"}, {"Name": "containerd"}]}


class FakeClient:
    def __init__(self, info: dict[str, Any], version: dict[str, Any]) -> None:
        self.info, self.version = (lambda: info), (lambda: version)


def answers(monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], version: dict[str, Any] = MOBY) -> None:
    """A server answers Docker's API with these facts about itself."""
    client = FakeClient({**LINUX, **info}, version)
    monkeypatch.setattr(docker_engine.DockerEngine, "client", lambda *_: client)
    monkeypatch.setattr(docker_engine, "find", docker_engine.DockerEngine)


@pytest.mark.parametrize(
    ("info", "version", "words"),
    [
        ({"SecurityOptions": [*LINUX["SecurityOptions"], "name=rootless"]}, MOBY, "Docker is rootless"),
        ({"SecurityOptions": ["name=userns", *LINUX["SecurityOptions"]]}, MOBY, "userns-remap"),
        ({"OSType": "windows"}, MOBY, "Linux containers"),
        ({}, {"Components": [{"Name": "Podman Engine"}, {"Name": "Conmon"}]}, "This is Podman"),
    ],
)
def test_a_docker_that_cannot_run_the_executor_is_refused_with_the_reason(
    report: Report, monkeypatch: pytest.MonkeyPatch, info: dict[str, Any], version: dict[str, Any], words: str
) -> None:
    answers(monkeypatch, info, version)
    with pytest.raises(StepFailed, match=words) as caught:
        docker_engine.ensure(report)
    assert "runs as root" in caught.value.fix


def test_docker_desktop_is_taken_and_named(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    answers(monkeypatch, {"OperatingSystem": "Docker Desktop"})
    engine = docker_engine.ensure(report)
    assert engine.system() == "Docker Desktop"


@pytest.mark.parametrize(
    ("options", "starts", "held"),
    [
        (["name=apparmor", "name=seccomp"], True, True),
        (["name=apparmor", "name=seccomp"], False, False),
        # Without AppArmor, Docker ignores the name of a profile.
        (["name=seccomp"], True, False),
    ],
)
def test_the_profiles_of_apparmor_are_loaded_where_a_container_starts_under_them(
    monkeypatch: pytest.MonkeyPatch, options: list[str], starts: bool, held: bool
) -> None:
    client, trial = mock.MagicMock(), mock.MagicMock()
    client.info.return_value = {"SecurityOptions": options}
    client.containers.create.return_value = trial
    if not starts:
        trial.start.side_effect = APIError("apparmor failed to apply profile")
    monkeypatch.setattr(docker_engine.DockerEngine, "client", lambda _: client)
    assert docker_engine.DockerEngine("unix:///one.sock").apparmor("vps/app:1") is held
    assert trial.remove.called is client.containers.create.called is ("name=apparmor" in options)


def test_a_daemon_that_ends_is_not_waited_for(report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docker_engine, "_init_system", lambda: None)
    with pytest.raises(StepFailed, match="does not answer") as caught:
        docker_engine.start(f"unix://{tmp_path}/docker.sock", report, ("sh", "-c", "echo no cgroups; exit 1"))
    assert caught.value.log is not None
    assert caught.value.log.read_text() == "no cgroups\n"


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The commands that the script would use to mount and unmount."""
    ran: list[list[str]] = []
    monkeypatch.setattr(process, "run", lambda argv, report: ran.append(argv))
    return ran


def test_a_tmpfs_is_mounted_where_run_is_on_a_disk(
    report: Report, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: list[list[str]]
) -> None:
    monkeypatch.setattr(process, "named", lambda name: ())
    docker_engine._keep_state_in_memory(report)
    assert [argv[-1] for argv in mounts] == [f"{tmp_path}/run/docker"]


def test_nothing_is_mounted_where_run_is_a_mount(
    report: Report, monkeypatch: pytest.MonkeyPatch, mounts: list[list[str]]
) -> None:
    monkeypatch.setattr(process, "named", lambda name: ())
    monkeypatch.setattr(docker_engine, "_RUN", Path("/proc"))
    docker_engine._keep_state_in_memory(report)
    assert mounts == []


def test_only_the_tmpfs_mounted_here_is_unmounted(
    report: Report, monkeypatch: pytest.MonkeyPatch, mounts: list[list[str]]
) -> None:
    docker_engine._unmount_state(report)
    assert mounts == []
    state = f"{docker_engine._RUN}/docker"
    monkeypatch.setattr(Path, "read_text", lambda path: f"vps-engine {state} tmpfs rw 0 0\n")
    docker_engine._unmount_state(report)
    assert mounts == [["umount", state]]


def test_nothing_is_mounted_while_containers_of_an_earlier_daemon_run(report: Report, mounts: list[list[str]]) -> None:
    docker_engine._keep_state_in_memory(report)
    assert mounts == []


def test_a_failed_mount_does_not_prevent_the_start(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(argv: list[str], report: Report) -> str:
        raise process.CommandFailed(argv, 32, "permission denied")

    monkeypatch.setattr(process, "named", lambda name: ())
    monkeypatch.setattr(process, "run", refuse)
    docker_engine._keep_state_in_memory(report)


def test_a_process_id_that_another_program_has_now_is_ignored(own_cache: Path, report: Report) -> None:
    folder = own_cache / "dockerd"
    folder.mkdir(parents=True)
    (folder / "dockerd.pid").write_text(str(os.getpid()))
    assert docker_engine.daemon_pid() is None
    assert "left alone" in docker_engine.stop(report)


def test_stop_waits_until_the_process_has_ended(own_cache: Path, report: Report, tmp_path: Path) -> None:
    pid_file, daemon = own_cache / "dockerd" / "dockerd.pid", tmp_path / "dockerd"
    pid_file.parent.mkdir(parents=True)
    daemon.write_text(
        f"#!/bin/sh\ntrap 'rm {pid_file}; sleep 1; exit 0' TERM\necho $$ > {pid_file}.partial\n"
        f"mv {pid_file}.partial {pid_file}\nwhile :; do sleep 0.05; done\n"
    )
    daemon.chmod(0o755)
    with subprocess.Popen([daemon]) as running:
        until(pid_file.exists, 10, "the daemon")
        assert docker_engine.stop(report) == f"stopped dockerd, process {running.pid}"
        assert running.poll() == 0
