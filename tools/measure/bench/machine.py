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
    """Bytes of memory of processes that the kernel can't take back: anonymous and shared pages, each page's share."""
    return sum(_share(pid, "Pss_Anon:", "Pss_Shmem:") for pid in pids)


def mapped(pids: Iterable[int]) -> int:
    """Bytes of the files that processes have mapped, each page's share. They are of the page cache.

    The kernel maps what the cache holds around a page that is used, so the figure grows with what others have read.
    """
    return sum(_share(pid, "Pss_File:") for pid in pids)


def _share(pid: int, *kinds: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended, or is ending and has no memory any more
        return 0
    return sum(int(line.split()[1]) * _KB for line in lines if line.startswith(kinds))
