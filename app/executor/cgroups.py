"""Control groups: one for each sandbox, below the executor's own, under version 1 or 2 of the kernel's interface.

The executor makes them, and starts the OCI runtime inside. So the limits are the same for crun and runsc.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from app.executor import syscalls
from app.profile import SandboxProfile

ROOT = Path("/sys/fs/cgroup")
_NAMESPACE = Path("/proc/self/cgroup")
_FOLDER = "sandboxes"
_OURS = "executor"
_MB = 1024 * 1024
_ONE_CHARGE = _MB
"""Bytes below its limit of memory at which a group is full: the charge that has failed was not added."""
_PERIOD = 100_000
"""The kernel's period for the CPU limit in microseconds, as Docker sets it."""
_LONGEST = 65536
"""Bytes read of a file at most."""
_V1 = ("memory", "pids", "cpu", "cpuacct")
_V2 = ("memory", "pids", "cpu")
_KERNEL = "Start its kernel with `cgroup_enable=memory swapaccount=1`, and enable the controllers memory, pids and cpu"


class CgroupError(Exception):
    """The host's control groups can't hold the profile. The message names what is missing, and the fix."""

    def __init__(self, missing: str, fix: str = _KERNEL) -> None:
        super().__init__(f"the host's control groups have no {missing}. {fix}.")


@dataclass(frozen=True)
class Usage:
    """What a group has used: seconds of processor time, bytes of memory at most, and how often the kernel refused."""

    cpu_seconds: float
    memory_peak: int | None
    memory_kills: int
    pids_refused: int


def is_v2() -> bool:
    """Whether the host has version 2 only. A host with both versions counts as version 1."""
    return _has_v2(ROOT)


@cache
def _has_v2(root: Path) -> bool:
    return (root / "cgroup.controllers").exists()


def delegate(owner: int) -> None:
    """Make the folder of the sandboxes' groups and give it to the user `owner`. Needs the container's root.

    Raises:
        OSError: the kernel refused a step.
        CgroupError: a controller or the container's own namespace of control groups is missing.
    """
    if is_v2():
        _delegate_v2(owner)
        return
    missing = set(_V1)
    for mount in syscalls.mounts():
        if mount.type == "cgroup" and mount.options & missing:
            missing -= mount.options
            _open(mount.place)
            folder = Path(mount.place) / _FOLDER
            folder.mkdir(exist_ok=True)
            os.chown(folder, owner, owner)
    _need(missing)


def _open(place: str) -> None:
    """Make a hierarchy writable, where it is not."""
    if os.statvfs(place).f_flag & os.ST_RDONLY:
        syscalls.mount("", place, "", syscalls.REMOUNT | syscalls.BIND)


def _need(missing: set[str]) -> None:
    if missing:
        raise CgroupError(f"controllers {', '.join(sorted(missing))}")


def _delegate_v2(owner: int) -> None:
    if _NAMESPACE.read_text().strip() != "0::/":
        raise CgroupError("namespace for this container", "Start the container with `--cgroupns=private`")
    _need(set(_V2) - set((ROOT / "cgroup.controllers").read_text().split()))
    _open(str(ROOT))
    # Version 2 allows processes only in groups that pass no controllers on, so the container's processes move first.
    launcher, sandboxes = ROOT / "launcher", ROOT / _FOLDER
    for folder in (launcher, sandboxes, sandboxes / _OURS):
        folder.mkdir(exist_ok=True)
    for process in (ROOT / "cgroup.procs").read_text().split():
        (launcher / "cgroup.procs").write_text(process)
    enable = " ".join(f"+{controller}" for controller in _V2)
    (ROOT / "cgroup.subtree_control").write_text(enable)
    (sandboxes / _OURS / "cgroup.procs").write_text(str(os.getpid()))
    (sandboxes / "cgroup.subtree_control").write_text(enable)
    # The owner changes last: without CAP_DAC_OVERRIDE, root can't write to another user's files.
    for file in (sandboxes, *sandboxes.iterdir(), sandboxes / _OURS / "cgroup.procs"):
        os.chown(file, owner, owner)


class Group:
    """The control group of one sandbox, below the executor's own."""

    def __init__(self, name: str) -> None:
        self._folders = {controller: f"{parent}/{name}" for controller, parent in _parents(ROOT).items()}
        self._refused_before = 0

    @property
    def entrances(self) -> list[str]:
        """The files to which a process of one thread writes 0 to join.

        Under version 1 `tasks`: a write to cgroup.procs excludes all forks and exits of the host, for which the kernel
        waits 5 to 17 ms.
        """
        file = "cgroup.procs" if is_v2() else "tasks"
        return [f"{folder}/{file}" for folder in self._distinct]

    def make(self, limits: Mapping[str, str]) -> None:
        """Make the group and write its limits, which are values by file name; or `CgroupError` or OSError."""
        for folder in self._distinct:
            os.mkdir(folder)
        for file, value in limits.items():
            try:
                descriptor = os.open(self._file(file), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
            except FileNotFoundError:
                raise CgroupError(file) from None
            try:
                os.write(descriptor, value.encode())
            finally:
                os.close(descriptor)
        self.begin()

    def begin(self) -> None:
        """Mark the start of the execution: `lacking` ignores what the executor's group refused before. Or OSError."""
        self._refused_before = _refused_together()

    def cpu_seconds(self) -> float:
        """The seconds of processor time that it has used so far, or OSError."""
        if is_v2():
            return _numbers(self._read("cpu.stat"))["usage_usec"] / 1e6
        return int(self._read("cpuacct.usage")) / 1e9

    def usage(self) -> Usage:
        """What it has used so far, or OSError."""
        if is_v2():
            try:
                peak = int(self._read("memory.peak"))
            except FileNotFoundError:  # the kernel is older than 5.19
                peak = None
            kills = _numbers(self._read("memory.events"))["oom_kill"]
        else:
            peak = int(self._read("memory.max_usage_in_bytes"))
            kills = _numbers(self._read("memory.oom_control")).get("oom_kill", 0)
        return Usage(self.cpu_seconds(), peak, kills, pids_refused=_numbers(self._read("pids.events"))["max"])

    def lacking(self, used: Usage) -> str | None:
        """What was refused to it below its own limit: "memory", "processes", or None; or OSError.

        Then the executor's group, which bounds all sandboxes together, or the host had no more.
        """
        if used.memory_kills:
            if is_v2():
                was_full = _numbers(self._read("memory.events"))["oom"] > 0
            else:  # Version 1 counts no refusals in Linux 6.18: memory.failcnt stays 0.
                limit = int(self._read("memory.limit_in_bytes"))
                was_full = used.memory_peak is not None and used.memory_peak > limit - _ONE_CHARGE
            return None if was_full else "memory"
        # Since Linux 6.11, version 2 counts a refusal in the group whose limit it was, else in that of the process.
        refused = not self._pids_were_full() if used.pids_refused else _refused_together() > self._refused_before
        return "processes" if refused else None

    def _pids_were_full(self) -> bool:
        try:
            return int(self._read("pids.peak")) >= int(self._read("pids.max"))
        except FileNotFoundError:  # the kernel is older than 6.1
            return True

    def remove(self) -> bool:
        """Remove it, and return whether it is gone. If not, what was left in it is killed: try again in a moment."""
        for folder in self._distinct:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                _kill(_read(f"{folder}/cgroup.procs"))
                return False
        return True

    @property
    def _distinct(self) -> list[str]:
        """The folders, each once: under version 1, controllers of one hierarchy share a folder."""
        return list(dict.fromkeys(self._folders.values()))

    def _file(self, name: str) -> str:
        return f"{self._folders[name.partition('.')[0]]}/{name}"

    def _read(self, name: str) -> str:
        return _read(self._file(name))


def _kill(members: str) -> None:
    """Kill the processes that a cgroup.procs lists. It has a 0 for each process outside of this PID namespace."""
    for process in set(members.split()) - {"0"}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


@cache
def _parents(root: Path) -> dict[str, str]:
    """The folder of the sandboxes' groups in each controller's hierarchy, by controller."""
    if is_v2():
        return dict.fromkeys(_V2, str(root / _FOLDER))
    return {controller: str((root / controller).resolve() / _FOLDER) for controller in _V1}


def limits(profile: SandboxProfile, pids: int) -> Mapping[str, str]:
    """The profile's limits as values by file name, for this host's version. `pids` is the host's limit of processes."""
    memory = profile.memory_mb * _MB
    quota = round(profile.cpus * _PERIOD)
    if is_v2():
        return {
            "memory.max": str(memory),
            "memory.swap.max": str(profile.swap_mb * _MB),
            "pids.max": str(pids),
            "cpu.max": f"{quota} {_PERIOD}",
        }
    return {
        "memory.limit_in_bytes": str(memory),
        "memory.memsw.limit_in_bytes": str(memory + profile.swap_mb * _MB),
        "pids.max": str(pids),
        "cpu.cfs_period_us": str(_PERIOD),
        "cpu.cfs_quota_us": str(quota),
    }


def left_over() -> list[str]:
    """The names of the existing groups. Before this executor makes any, an earlier one has left them."""
    folder = ROOT / _FOLDER if is_v2() else ROOT / "pids" / _FOLDER
    return [group.name for group in folder.iterdir() if group.is_dir() and group.name != _OURS]


def _refused_together() -> int:
    """How often the executor's group was at its limit of processes. 0 where the sandbox's own group counts that."""
    try:
        return _numbers(_read(f"{ROOT}/pids.events.local"))["max"]
    except FileNotFoundError:
        return 0


def _read(file: str) -> str:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(descriptor, _LONGEST).decode()
    finally:
        os.close(descriptor)


def _numbers(content: str) -> dict[str, int]:
    """Parse a file with a name and a number on each line."""
    return {name: int(number) for name, number in (line.split() for line in content.splitlines())}
