"""Control groups: one for each sandbox, below the executor's own, under version 1 or 2 of the kernel's interface.

The OCI runtime makes none: it is started inside the one that was made here, which is the same for crun and runsc.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.executor import syscalls
from app.profile import SandboxProfile

ROOT = Path("/sys/fs/cgroup")
_FOLDER = "sandboxes"
_OURS = "executor"
_MB = 1024 * 1024
_PERIOD = 100_000
"""Microseconds over which the processor share is counted, as Docker has it."""
_V1 = ("memory", "pids", "cpu", "cpuacct")
_V2 = ("memory", "pids", "cpu")


@dataclass(frozen=True)
class CgroupError(Exception):
    """The host's control groups can't hold the profile. The message names the file that is missing, and the fix."""

    file: str

    def __str__(self) -> str:
        return (
            f"the host's control groups have no {self.file}. Start its kernel with "
            "`cgroup_enable=memory swapaccount=1`, and enable the controllers memory, pids and cpu."
        )


@dataclass(frozen=True)
class Usage:
    """What a group has used: seconds of processor time, bytes of memory at most, and how often the kernel refused."""

    cpu_seconds: float
    memory_peak: int | None
    memory_kills: int
    pids_refused: int


def is_v2() -> bool:
    """Whether the host has version 2 alone."""
    return (ROOT / "cgroup.controllers").exists()


def delegate(owner: int) -> None:
    """Make the folder of the sandboxes' groups, and give it to a user, or OSError. For the container's root."""
    if is_v2():
        _delegate_v2(owner)
        return
    for mount in syscalls.mounts():
        if mount.type == "cgroup" and mount.options & set(_V1):
            syscalls.mount("", mount.place, "", syscalls.REMOUNT | syscalls.BIND)
            folder = Path(mount.place) / _FOLDER
            folder.mkdir(exist_ok=True)
            os.chown(folder, owner, owner)


def _delegate_v2(owner: int) -> None:
    syscalls.mount("", str(ROOT), "", syscalls.REMOUNT | syscalls.BIND)
    # A group that has processes can't give controllers to those below it.
    launcher, sandboxes = ROOT / "launcher", ROOT / _FOLDER
    for folder in (launcher, sandboxes, sandboxes / _OURS):
        folder.mkdir(exist_ok=True)
    for process in (ROOT / "cgroup.procs").read_text().split():
        (launcher / "cgroup.procs").write_text(process)
    enable = " ".join(f"+{controller}" for controller in _V2)
    (ROOT / "cgroup.subtree_control").write_text(enable)
    for file in (sandboxes, *sandboxes.iterdir(), sandboxes / _OURS / "cgroup.procs"):
        os.chown(file, owner, owner)
    (sandboxes / _OURS / "cgroup.procs").write_text(str(os.getpid()))
    (sandboxes / "cgroup.subtree_control").write_text(enable)


class Group:
    """A sandbox's control group: made, then entered by the runtime, and removed when all in it has ended."""

    def __init__(self, name: str) -> None:
        self._folders = _folders(name)

    @property
    def entrances(self) -> list[str]:
        """The files to which a process writes 0 to join."""
        return [str(folder / "cgroup.procs") for folder in self._distinct]

    def make(self, limits: Mapping[str, str]) -> None:
        """Make it with these limits, by file name; or `CgroupError` or OSError."""
        for folder in self._distinct:
            folder.mkdir()
        for file, value in limits.items():
            if not self._file(file).exists():
                raise CgroupError(file)
            self._file(file).write_text(value)

    def usage(self) -> Usage:
        """What it has used so far, or OSError."""
        if is_v2():
            events = _numbers(self._file("memory.events"))
            peak = self._file("memory.peak")  # since kernel 5.19
            return Usage(
                cpu_seconds=_numbers(self._file("cpu.stat"))["usage_usec"] / 1e6,
                memory_peak=int(peak.read_text()) if peak.exists() else None,
                memory_kills=events["oom_kill"],
                pids_refused=_numbers(self._file("pids.events"))["max"],
            )
        return Usage(
            cpu_seconds=int(self._file("cpuacct.usage").read_text()) / 1e9,
            memory_peak=int(self._file("memory.max_usage_in_bytes").read_text()),
            memory_kills=_numbers(self._file("memory.oom_control")).get("oom_kill", 0),
            pids_refused=_numbers(self._file("pids.events"))["max"],
        )

    def remove(self) -> bool:
        """Remove it, and return whether it is gone. If not, what was left in it is killed: try again in a moment."""
        for folder in self._distinct:
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                _kill(folder / "cgroup.procs")
                return False
        return True

    @property
    def _distinct(self) -> list[Path]:
        """Version 1 often has several controllers in one hierarchy: they share a folder."""
        return list(dict.fromkeys(self._folders.values()))

    def _file(self, name: str) -> Path:
        return self._folders[name.partition(".")[0]] / name


def _kill(members: Path) -> None:
    """Kill the processes that a cgroup.procs lists. One that this process's PID namespace doesn't know is a 0."""
    for process in set(members.read_text().split()) - {"0"}:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


def _folders(name: str) -> dict[str, Path]:
    """By the controller whose files are there."""
    if is_v2():
        return dict.fromkeys(_V2, ROOT / _FOLDER / name)
    return {controller: (ROOT / controller).resolve() / _FOLDER / name for controller in _V1}


def limits(profile: SandboxProfile, pids: int) -> Mapping[str, str]:
    """The profile's limits as the files of this host's version; `pids` are those that the host is to count."""
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
    """Names of the groups that are there: an earlier run left them, if this one has made none yet."""
    folder = ROOT / _FOLDER if is_v2() else ROOT / "pids" / _FOLDER
    return [group.name for group in folder.iterdir() if group.is_dir() and group.name != _OURS]


def _numbers(file: Path) -> dict[str, int]:
    """Of a file with a name and a number on each line."""
    return {name: int(number) for name, number in (line.split() for line in file.read_text().splitlines())}
