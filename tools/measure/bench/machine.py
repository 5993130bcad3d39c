"""CPU and memory of processes, from /proc."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_AT_WORK = (0, 1, 2, 5, 6)
"""Columns of /proc/stat: user, nice, system, irq and softirq. Idle, iowait and steal are not work."""
_KB = 1024


def busy_seconds() -> float:
    """CPU seconds of work since the machine started, summed over its CPUs."""
    columns = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
    return sum(int(columns[at]) for at in _AT_WORK) / _TICKS


def load() -> float:
    """The load average over the last minute."""
    return os.getloadavg()[0]


def cpu_seconds(pids: Iterable[int]) -> float:
    """CPU seconds of processes since they started. A process that has ended counts as 0."""
    return sum(sum(map(int, fields[11:13])) / _TICKS for pid in pids if (fields := _stat(pid)))


def memory(pids: Iterable[int]) -> int:
    """Memory of processes in bytes (PSS: shared pages are divided among the processes that share them)."""
    return sum(_pss(pid) for pid in pids)


def forget_peak(pid: int) -> int:
    """Bytes that a process holds resident now, from where `peak` counts on."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return peak(pid)


def peak(pid: int) -> int:
    """The most bytes that a process has held resident since `forget_peak`."""
    return _bytes(pid, "status", "VmHWM:")


def parent(pid: int) -> int:
    """The parent's process id; 0 for a process that has ended."""
    fields = _stat(pid)
    return int(fields[1]) if fields else 0


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may contain spaces and parentheses."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _pss(pid: int) -> int:
    try:
        return _bytes(pid, "smaps_rollup", "Pss:")
    except (OSError, StopIteration):  # it has ended, or is ending and has no memory any more
        return 0


def _bytes(pid: int, file: str, key: str) -> int:
    """A number of kB in /proc/PID, in bytes."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) * _KB for line in lines if line.startswith(key))
