"""Control groups in a folder that is laid out as each version of the kernel's interface lays it out."""

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from app.executor import cgroups, syscalls
from app.executor.cgroups import CgroupError, Group, Usage
from app.executor.syscalls import Mount
from app.profile import FLOOR

NAME = "0" * 32
V1 = ("memory", "pids", "cpu", "cpuacct")
FILES = {
    "cgroup.procs": "",
    "tasks": "",
    "memory.limit_in_bytes": "9223372036854771712\n",
    "memory.memsw.limit_in_bytes": "9223372036854771712\n",
    "memory.max_usage_in_bytes": "7340032\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "pids.max": "max\n",
    "pids.events": "max 3\n",
    "pids.peak": "50\n",
    "cpu.cfs_period_us": "100000\n",
    "cpu.cfs_quota_us": "-1\n",
    "cpuacct.usage": "1500000000\n",
    "memory.max": "max\n",
    "memory.swap.max": "max\n",
    "memory.peak": "7340032\n",
    "memory.events": "low 0\nhigh 0\nmax 9\noom 2\noom_kill 2\noom_group_kill 0\n",
    "cpu.max": "max 100000\n",
    "cpu.stat": "usage_usec 1500000\nuser_usec 1000000\nsystem_usec 500000\n",
}
"""Files of a group that the kernel makes, with what they say at first or after a while."""
FULL = FLOOR.memory_mb * 1024 * 1024
USED = Usage(cpu_seconds=1.5, memory_peak=7340032, memory_kills=2, pids_refused=3)


class Kernel:
    """Fills each folder that is made below `root`, and removes those that are empty but for its files."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = root
        self.without: set[str] = set()
        make, remove = os.mkdir, os.rmdir

        def mkdir(folder: str | Path, mode: int = 0o777) -> None:
            make(folder, mode)
            for name, content in FILES.items():
                if name not in self.without:
                    Path(folder, name).write_text(content)

        def rmdir(folder: str) -> None:
            path = Path(folder)
            if (path / "cgroup.procs").exists() and (path / "cgroup.procs").read_text():
                raise OSError(errno.EBUSY, "busy")
            for file in path.iterdir() if path.exists() else ():
                file.unlink()
            remove(folder)

        monkeypatch.setattr(cgroups, "ROOT", root)
        monkeypatch.setattr(os, "mkdir", mkdir)
        monkeypatch.setattr(os, "rmdir", rmdir)


@pytest.fixture(params=["v1", "v1 with controllers together", "v2"])
def kernel(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    root = tmp_path / "cgroup"
    if request.param == "v2":
        (root / "sandboxes" / "executor").mkdir(parents=True)
        (root / "cgroup.controllers").write_text("cpu memory pids\n")
    else:
        together = request.param != "v1"
        for controller in ("memory", "pids", *(["cpu,cpuacct"] if together else ["cpu", "cpuacct"])):
            (root / controller / "sandboxes").mkdir(parents=True)
        if together:
            for controller in ("cpu", "cpuacct"):
                (root / controller).symlink_to("cpu,cpuacct")
    return Kernel(root, monkeypatch)


def made(kernel: Kernel) -> list[Path]:
    """The distinct folders of the group."""
    return sorted({found.resolve() for found in kernel.root.glob(f"**/{NAME}")})


def limits() -> dict[str, str]:
    return dict(cgroups.limits(FLOOR, FLOOR.pids))


def test_a_group_is_made_with_each_limit_where_its_controller_looks(kernel: Kernel) -> None:
    Group(NAME).make(limits())
    memory = str(FLOOR.memory_mb * 2**20)
    if cgroups.is_v2():
        expected = {"memory.max": memory, "memory.swap.max": "0", "pids.max": "50", "cpu.max": "50000 100000"}
    else:
        expected = {
            "memory.limit_in_bytes": memory,
            "memory.memsw.limit_in_bytes": memory,
            "pids.max": "50",
            "cpu.cfs_period_us": "100000",
            "cpu.cfs_quota_us": "50000",
        }
    controllers = {name: "" if cgroups.is_v2() else name.partition(".")[0] for name in expected}
    assert expected == {
        name: (kernel.root / controller / "sandboxes" / NAME / name).read_text()
        for name, controller in controllers.items()
    }


def test_each_folder_is_entered_once(kernel: Kernel) -> None:
    group = Group(NAME)
    group.make(limits())
    entrances = [Path(entrance) for entrance in group.entrances]
    assert sorted(entrance.parent.resolve() for entrance in entrances) == made(kernel)
    name = "cgroup.procs" if cgroups.is_v2() else "tasks"
    assert all(entrance.name == name and entrance.exists() for entrance in entrances)


def test_usage(kernel: Kernel) -> None:
    group = Group(NAME)
    group.make(limits())
    assert group.usage() == USED


def used(**counts: int) -> Usage:
    return replace(USED, **{"memory_kills": 0, "pids_refused": 0, **counts})


def change(kernel: Kernel, **files: str) -> None:
    """Have files of the group say something else. A name has `_` for each dot."""
    for folder in made(kernel):
        for file in folder.iterdir():
            if (content := files.get(file.name.replace(".", "_"))) is not None:
                file.write_text(content)


def test_nothing_is_lacking_to_a_group_that_reached_its_own_limits(kernel: Kernel) -> None:
    group = Group(NAME)
    group.make(limits())
    full = used(memory_kills=2, memory_peak=FULL)
    assert [group.lacking(it) for it in (used(), full, used(pids_refused=3))] == [None] * 3


def test_memory_is_lacking_when_a_kill_was_not_for_the_groups_own_limit(kernel: Kernel) -> None:
    group = Group(NAME)
    group.make(limits())
    change(kernel, memory_events="low 0\nhigh 0\nmax 0\noom 0\noom_kill 2\n")
    assert group.lacking(used(memory_kills=2, memory_peak=FULL // 2)) == "memory"
    assert group.lacking(used()) is None


def test_processes_are_lacking_when_the_group_never_had_as_many_as_it_may(kernel: Kernel) -> None:
    group = Group(NAME)
    group.make(limits())
    change(kernel, pids_peak="49\n")
    assert group.lacking(used(pids_refused=3)) == "processes"


def test_a_kernel_before_6_1_does_not_tell_whose_limit_of_processes_it_was(kernel: Kernel) -> None:
    kernel.without = {"pids.peak"}
    group = Group(NAME)
    group.make(limits())
    assert group.lacking(used(pids_refused=3)) is None


def test_a_kernel_since_6_11_counts_refused_processes_in_the_executors_group(kernel: Kernel) -> None:
    """Under version 2. Only those since the start of the execution are its own."""
    together = kernel.root / "pids.events.local"
    together.write_text("max 4\n")
    group = Group(NAME)
    group.make(limits())
    assert group.lacking(used()) is None
    together.write_text("max 5\n")
    assert group.lacking(used()) == "processes"
    assert group.lacking(used(pids_refused=3)) is None
    group.begin()
    assert group.lacking(used()) is None


def test_a_kernel_before_5_19_does_not_tell_the_peak_of_memory(kernel: Kernel) -> None:
    kernel.without = {"memory.peak"}
    group = Group(NAME)
    group.make(limits())
    assert group.usage().memory_peak == (None if cgroups.is_v2() else 7340032)


def test_a_group_is_removed_when_it_is_empty_and_a_second_time(kernel: Kernel) -> None:
    group = Group(NAME)
    group.make(limits())
    assert group.remove()
    assert made(kernel) == []
    assert group.remove()


def test_what_is_left_in_a_group_is_killed_but_never_the_executor(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process outside of the reader's PID namespace is listed as 0, which kill(2) takes for the caller's group."""
    killed: list[tuple[int, signal.Signals]] = []
    monkeypatch.setattr(os, "kill", lambda process, number: killed.append((process, number)))
    group = Group(NAME)
    group.make(limits())
    for folder in made(kernel):
        (folder / "cgroup.procs").write_text("0\n77\n0\n")
    assert not group.remove()
    assert killed == [(77, signal.SIGKILL)]
    for folder in made(kernel):
        (folder / "cgroup.procs").write_text("")
    assert group.remove()


def test_a_host_that_does_not_count_swap_is_refused_with_the_fix(kernel: Kernel) -> None:
    file = "memory.swap.max" if cgroups.is_v2() else "memory.memsw.limit_in_bytes"
    kernel.without = {file}
    with pytest.raises(CgroupError, match="swapaccount=1") as caught:
        Group(NAME).make(limits())
    assert file in str(caught.value)


@pytest.mark.usefixtures("kernel")
def test_groups_that_an_earlier_executor_left_are_found() -> None:
    assert cgroups.left_over() == []
    Group(NAME).make(limits())
    assert cgroups.left_over() == [NAME]


V2_NAMESPACE = "0::/\n"
MISSING = "the host's control groups have no controllers {}. Start its kernel with `cgroup_enable=memory swapaccount=1`"


def delegated(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, *controllers: str, namespace: str = V2_NAMESPACE
) -> None:
    """Give away the groups of a host that has these controllers."""
    here = [Mount(str(kernel.root / name), "cgroup", frozenset({"rw", name})) for name in controllers]
    monkeypatch.setattr(syscalls, "mounts", lambda: here)
    monkeypatch.setattr(syscalls, "mount", lambda *_: None)
    given: set[Path] = set()
    write = Path.write_text

    def write_ours(path: Path, text: str) -> int:
        """The launcher has no CAP_DAC_OVERRIDE."""
        if path in given:
            raise PermissionError(errno.EACCES, "another's")
        return write(path, text)

    monkeypatch.setattr(os, "chown", lambda path, *_: given.add(path))
    monkeypatch.setattr(Path, "write_text", write_ours)
    own = kernel.root.parent / "namespace"
    own.write_text(namespace)
    monkeypatch.setattr(cgroups, "_NAMESPACE", own)
    if cgroups.is_v2():
        (kernel.root / "cgroup.controllers").write_text(" ".join(controllers))
        for folder in (kernel.root, kernel.root / "sandboxes", kernel.root / "sandboxes" / "executor"):
            (folder / "cgroup.procs").write_text("")
    cgroups.delegate(os.getuid())


def test_a_host_with_each_controller_gives_them_away(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    delegated(kernel, monkeypatch, *V1)
    if cgroups.is_v2():
        for folder in (kernel.root, kernel.root / "sandboxes"):
            assert (folder / "cgroup.subtree_control").read_text() == "+memory +pids +cpu"


@pytest.mark.parametrize("missing", ["memory", "pids", "cpu"])
def test_a_host_without_a_controller_is_refused(kernel: Kernel, monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    with pytest.raises(CgroupError) as caught:
        delegated(kernel, monkeypatch, *(name for name in V1 if name != missing))
    assert str(caught.value).startswith(MISSING.format(missing))


def test_with_version_2_the_hosts_own_namespace_is_refused(kernel: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    """There, the launcher would move the host's processes."""
    if not cgroups.is_v2():
        delegated(kernel, monkeypatch, *V1, namespace="1:memory:/docker/0\n")
        return
    with pytest.raises(CgroupError, match=r"namespace for this container\. Start .* with `--cgroupns=private`\.$"):
        delegated(kernel, monkeypatch, *V1, namespace="0::/system.slice/docker-0.scope\n")
