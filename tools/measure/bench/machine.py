"""CPU and memory of the machine and of processes, from /proc."""

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


def memory(pids: Iterable[int]) -> int:
    """Memory of processes in bytes (PSS: shared pages are divided among the processes that share them)."""
    return sum(_pss(pid) for pid in pids)


def _pss(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        return next(int(line.split()[1]) * _KB for line in lines if line.startswith("Pss:"))
    except (OSError, StopIteration):  # it has ended, or is ending and has no memory any more
        return 0
