"""The exporter of the containers' figures, on files as the kernel and Docker write them."""

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest
from prometheus_client import CollectorRegistry

from app.containers import pods
from app.containers.cgroups import Cgroups, Usage, WrongVersion
from app.containers.container import Container
from app.containers.docker_files import read, read_all
from app.containers.figures import Figures, MemoryKills
from app.containers.inotify import Replacements
from tools.paths import ROOT

API, LOKI, ENDED = "a" * 64, "b" * 64, "e" * 64
USED = Usage(cpu_seconds=2.5, memory=700, memory_limit=4000, pids=7)
STARTED = "2026-11-29T12:12:24.309724081Z"
NEVER = "0001-01-01T00:00:00Z"
MINE = {"vps.stack": "s", "vps.service": "api", "vps.role": "service"}
V1 = {
    "memory/{}/memory.usage_in_bytes": "1000\n",
    "memory/{}/memory.limit_in_bytes": "4000\n",
    "memory/{}/memory.stat": "inactive_file 1\ntotal_cache 500\ntotal_inactive_file 300\n",
    "cpuacct/{}/cpuacct.usage": "2500000000\n",
    "pids/{}/pids.current": "7\n",
}
V2 = {
    "{}/memory.current": "1000\n",
    "{}/memory.max": "4000\n",
    "{}/memory.stat": "anon 100\ninactive_file 300\n",
    "{}/cpu.stat": "usage_usec 2500000\nuser_usec 1\n",
    "{}/pids.current": "7\n",
}
NAMES = [
    "docker/{}",
    "system.slice/docker-{}.scope",
    "machine.slice/machine-vps.slice/docker-{}.scope",
    "vps/docker/{}",
    "kubepods/burstable/pod0f1e-2d/{}",
    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f1e_2d.slice/cri-containerd-{}.scope",
    "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod0f1e_2d.slice/crio-{}.scope",
]
UNITS = "s-units"
POD = "sandbox-7d4b9c6f5-x2x4q"


def write(root: Path, files: Mapping[str, str]) -> None:
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def groups(root: Path, version: int, name: str) -> None:
    """The control groups of a host, among them one with this name."""
    write(root, {file.format(name): text for file, text in (V1 if version == 1 else V2).items()})
    if version == 2:
        (root / "cgroup.controllers").write_text("cpu memory pids\n")


def docker(folder: Path, id: str, labels: Mapping[str, str] = MINE, restarts: int = 2, **state: Any) -> Path:
    """Replace a container's file, as Docker does."""
    told = {"Running": True, "Restarting": False, "OOMKilled": False, "ExitCode": 0}
    config = {
        "ID": id,
        "RestartCount": restarts,
        "State": {**told, "StartedAt": STARTED, "FinishedAt": NEVER, **state},
        "Config": {"Labels": dict(labels)},
    }
    container = folder / id
    container.mkdir(exist_ok=True)
    (container / ".tmp-config.v2.json1").write_text(json.dumps(config))
    (container / ".tmp-config.v2.json1").rename(container / "config.v2.json")
    return container


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("name", NAMES)
def test_a_containers_group_is_found_wherever_docker_systemd_or_a_kubelet_makes_it(
    tmp_path: Path, version: Literal[1, 2], name: str
) -> None:
    groups(tmp_path, version, name.format(API))
    assert Cgroups(tmp_path, version).read() == {API: USED}


@pytest.mark.parametrize("version", [1, 2])
def test_groups_inside_a_container_are_not_containers(tmp_path: Path, version: Literal[1, 2]) -> None:
    groups(tmp_path, version, f"docker/{API}")
    groups(tmp_path, version, f"docker/{API}/{LOKI}")
    groups(tmp_path, version, "docker/buildkit")
    assert set(Cgroups(tmp_path, version).read()) == {API}


UNLIMITED: tuple[tuple[Literal[1, 2], str, str], ...] = (
    (1, "memory/{}/memory.limit_in_bytes", "9223372036854771712\n"),
    (2, "{}/memory.max", "max\n"),
)
INACTIVE: tuple[tuple[Literal[1, 2], str, str], ...] = (
    (1, "memory/{}/memory.stat", "total_inactive_file 1001\n"),
    (2, "{}/memory.stat", "inactive_file 1001\n"),
)


def usage(root: Path, version: Literal[1, 2], file: str, text: str) -> Usage:
    groups(root, version, f"docker/{API}")
    write(root, {file.format(f"docker/{API}"): text})
    return Cgroups(root, version).read()[API]


@pytest.mark.parametrize("case", UNLIMITED)
def test_no_limit_is_none(tmp_path: Path, case: tuple[Literal[1, 2], str, str]) -> None:
    assert usage(tmp_path, *case).memory_limit is None


@pytest.mark.parametrize("case", INACTIVE)
def test_memory_is_never_negative(tmp_path: Path, case: tuple[Literal[1, 2], str, str]) -> None:
    assert usage(tmp_path, *case).memory == 1000


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_that_ends_while_it_is_read_is_left_out(tmp_path: Path, version: Literal[1, 2]) -> None:
    groups(tmp_path, version, f"docker/{API}")
    groups(tmp_path, version, f"docker/{LOKI}")
    next(tmp_path.rglob(f"{LOKI}/pids.current")).unlink()
    assert set(Cgroups(tmp_path, version).read()) == {API}


@pytest.mark.parametrize("version", [1, 2])
def test_another_version_than_the_hosts_is_refused(tmp_path: Path, version: Literal[1, 2]) -> None:
    groups(tmp_path, version, f"docker/{API}")
    other: Literal[1, 2] = 2 if version == 1 else 1
    with pytest.raises(WrongVersion, match=rf"Set engine.cgroup_version to {version}"):
        Cgroups(tmp_path, other)


def test_only_the_stacks_services_are_read(tmp_path: Path) -> None:
    docker(tmp_path, API)
    docker(tmp_path, LOKI, {**MINE, "vps.stack": "other"})
    docker(tmp_path, "c" * 64, {**MINE, "vps.role": "config-loader"})
    docker(tmp_path, "f" * 64, {})
    (tmp_path / ("d" * 64)).mkdir()  # A container that is being created or removed has no files.
    (tmp_path / "file").touch()
    (found,) = read_all(tmp_path, "s")
    assert (found.id, found.service, found.restarts, found.started) == (API, "api", 2, 1795954344.309724)


def test_of_two_containers_of_a_service_the_one_that_was_started_last_counts(tmp_path: Path) -> None:
    docker(tmp_path, API)
    docker(tmp_path, LOKI, restarts=0, StartedAt="2026-11-30T00:00:00Z")
    docker(tmp_path, ENDED, restarts=1, StartedAt="2026-11-29T00:00:00Z")
    assert [it.id for it in read_all(tmp_path, "s")] == [LOKI]


@pytest.mark.parametrize(
    "text", ["", "[]", '{"Config": {}}', '{"Config": {"Labels": {"vps.stack": "s", "vps.role": "service"}}}']
)
def test_a_file_of_another_shape_is_an_error(tmp_path: Path, text: str) -> None:
    (docker(tmp_path, API) / "config.v2.json").write_text(text)
    with pytest.raises(ValueError, match=r"config.v2.json|JSON|Expecting"):
        read_all(tmp_path, "s")


KILLED: dict[str, Any] = {"Restarting": True, "OOMKilled": True, "ExitCode": 137, "FinishedAt": STARTED}


@pytest.mark.parametrize(
    ("state", "killed"),
    [
        (KILLED, True),
        ({**KILLED, "Restarting": False, "Running": False}, False),  # Stopped by hand after an OOM kill.
        ({**KILLED, "ExitCode": 1}, False),
        ({**KILLED, "OOMKilled": False}, False),
        ({"OOMKilled": True}, False),  # The kernel killed another process of it, or a sandbox.
    ],
)
def test_a_kill_for_memory_is_an_end_after_which_docker_starts_it_again(
    tmp_path: Path, state: dict[str, Any], killed: bool
) -> None:
    container = read(docker(tmp_path, API, **state), "s")
    assert container is not None
    assert container.killed_for_memory is killed


def told(figures: Figures) -> dict[tuple[str, ...], float]:
    registry = CollectorRegistry()
    registry.register(figures)
    return {
        (sample.name, *sample.labels.values()): sample.value
        for metric in registry.collect()
        for sample in metric.samples
    }


def test_the_figures_of_a_service(tmp_path: Path) -> None:
    files, host = tmp_path / "files", tmp_path / "cgroup"
    files.mkdir()
    docker(files, API)
    docker(files, ENDED, {**MINE, "vps.service": "loki"}, restarts=0, Running=False)
    groups(host, 2, f"system.slice/docker-{API}.scope")
    assert told(Figures(partial(read_all, files, "s"), Cgroups(host, 2), MemoryKills("s"))) == {
        ("container_cpu_seconds_total", "api", ""): 2.5,
        ("container_memory_bytes", "api", ""): 700,
        ("container_memory_kills_total", "api", ""): 0,
        ("container_memory_kills_total", "loki", ""): 0,
        ("container_memory_limit_bytes", "api", ""): 4000,
        ("container_pids", "api", ""): 7,
        ("container_restarts", "api", ""): 2,
        ("container_restarts", "loki", ""): 0,
        ("container_running", "api", ""): 1,
        ("container_running", "loki", ""): 0,
        ("container_start_time_seconds", "api", ""): 1795954344.309724,
    }


def kubelet(
    folder: Path, id: str, container: str = "api", *, namespace: str = UNITS, pod: str = POD, restarts: int = 0
) -> None:
    """Link to a container's log, as a kubelet does. The log is out of reach."""
    link = folder / f"{pod}_{namespace}_{container}-{id}.log"
    link.symlink_to(f"/var/log/pods/{namespace}_{pod}_0f1e-2d/{container}/{restarts}.log")
    os.utime(link, (1, 1795954344 + restarts), follow_symlinks=False)


def test_a_kubelets_links_tell_a_container_and_its_restarts(tmp_path: Path) -> None:
    kubelet(tmp_path, API, "container-exporter", restarts=10)
    (found,) = pods.read_all(tmp_path, [UNITS])
    assert found == Container(id=API, service="container-exporter", pod=POD, restarts=10, started=1795954354)


def test_of_a_pods_containers_those_of_the_stack_that_were_started_last_count(tmp_path: Path) -> None:
    kubelet(tmp_path, API, restarts=9)
    kubelet(tmp_path, LOKI, restarts=10)
    kubelet(tmp_path, ENDED, pod=f"{POD}2")
    kubelet(tmp_path, "c" * 64, namespace="s-units-of-others")
    (tmp_path / f"{POD}_{UNITS}_executor-{'d' * 64}.log").symlink_to("/var/log/pods/strange")
    (tmp_path / f"{POD}_{UNITS}_executor-{'f' * 64}.log").touch()
    (tmp_path / "other.log").touch()
    assert {it.id for it in pods.read_all(tmp_path, [UNITS])} == {LOKI, ENDED}


def test_the_figures_of_a_pods_container_without_kills_that_a_kubelet_keeps_to_itself(tmp_path: Path) -> None:
    files, host = tmp_path / "files", tmp_path / "cgroup"
    files.mkdir()
    kubelet(files, API, restarts=3)
    groups(host, 1, f"kubepods/burstable/pod0f1e-2d/{API}")
    assert told(Figures(partial(pods.read_all, files, [UNITS]), Cgroups(host, 1), None)) == {
        ("container_cpu_seconds_total", "api", POD): 2.5,
        ("container_memory_bytes", "api", POD): 700,
        ("container_memory_limit_bytes", "api", POD): 4000,
        ("container_pids", "api", POD): 7,
        ("container_restarts", "api", POD): 3,
        ("container_running", "api", POD): 1,
        ("container_start_time_seconds", "api", POD): 1795954347,
    }


def test_a_scrape_fails_when_dockers_files_cannot_be_read(tmp_path: Path) -> None:
    groups(tmp_path, 2, f"docker/{API}")
    with pytest.raises(FileNotFoundError):
        told(Figures(partial(read_all, tmp_path / "gone", "s"), Cgroups(tmp_path, 2), MemoryKills("s")))


def test_each_kill_is_counted_once_whatever_else_is_written(tmp_path: Path) -> None:
    kills = MemoryKills("s")
    folder = docker(tmp_path, API, **KILLED)
    kills.changed(folder, "hostconfig.json")
    assert kills.of("api") == 0
    for name in ("config.v2.json", "config.v2.json", ""):
        kills.changed(folder, name)
    assert kills.of("api") == 1
    kills.changed(docker(tmp_path, API), "config.v2.json")
    assert kills.of("api") == 1
    kills.changed(docker(tmp_path, API, **{**KILLED, "FinishedAt": "2026-11-29T12:20:00Z"}), "config.v2.json")
    assert kills.of("api") == 2


def test_what_docker_replaces_is_seen_in_folders_old_and_new(tmp_path: Path) -> None:
    old = docker(tmp_path, API)
    seen: list[tuple[Path, str]] = []
    enough = threading.Event()
    watched = Replacements(tmp_path)

    def watch() -> None:
        for change in watched:
            seen.append(change)
            if change == (new, "config.v2.json"):
                enough.set()
                return

    new = tmp_path / LOKI
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    docker(tmp_path, API)
    gone = tmp_path / ENDED
    gone.mkdir()
    shutil.rmtree(gone)
    new.mkdir()
    while not enough.wait(0.05):
        docker(tmp_path, LOKI)  # Written again and again: the first one may precede the watch.
    watcher.join()
    assert (old, "config.v2.json") in seen
    assert (new, "") in seen


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"CONTAINERS_CGROUP_VERSION": "3"}, "can't start: CONTAINERS_CGROUP_VERSION is wrong"),
        ({"CONTAINERS_CGROUP_VERSION": "1"}, "can't start: {} does not hold control groups of version 1"),
        ({"CONTAINERS_FILES": "/gone"}, "can't start: [Errno 2] No such file or directory: '/gone'"),
    ],
)
def test_what_cannot_be_served_is_refused_with_one_message(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    groups(tmp_path, 2, f"docker/{API}")
    environ = {"STACK": "s", "CGROUP_VERSION": "2", "FILES": str(tmp_path), "CGROUPS": str(tmp_path)}
    variables = {f"CONTAINERS_{name}": value for name, value in environ.items()} | changes
    ended = subprocess.run(
        [sys.executable, "-m", "app.containers"],
        env=variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("The exporter can't start")
    assert message.format(tmp_path) in ended.stderr


def test_a_folder_that_cannot_be_watched_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="gone"):
        Replacements(tmp_path / "gone")
