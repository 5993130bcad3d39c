"""What the kernel has counted for this sandbox, under cgroup v2 or v1."""

import os

_ROOT = "/sys/fs/cgroup"

Counters = dict[str, float | None]


def read_counters(root: str = _ROOT) -> Counters:
    """The counters since the sandbox was made; None is one that the kernel doesn't offer.

    `cpu_time` in seconds, `memory_peak` in bytes, `oom_kills` processes killed for memory, `pids_refused` forks and
    threads refused for their number.
    """
    if os.path.exists(f"{root}/cgroup.controllers"):
        return {
            "cpu_time": _scaled(_entry(f"{root}/cpu.stat", "usage_usec"), 1e-6),
            "memory_peak": _number(f"{root}/memory.peak"),
            "oom_kills": _entry(f"{root}/memory.events", "oom_kill"),
            "pids_refused": _entry(f"{root}/pids.events", "max"),
        }
    return {
        "cpu_time": _scaled(_number(f"{root}/cpuacct/cpuacct.usage"), 1e-9),
        "memory_peak": _number(f"{root}/memory/memory.max_usage_in_bytes"),
        "oom_kills": _entry(f"{root}/memory/memory.oom_control", "oom_kill"),
        "pids_refused": _entry(f"{root}/pids/pids.events", "max"),
    }


def _scaled(count: int | None, unit: float) -> float | None:
    return None if count is None else count * unit


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii") as file:
            return file.read()
    except OSError:
        return ""


def _number(path: str) -> int | None:
    text = _read(path)
    return int(text) if text else None


def _entry(path: str, name: str) -> int | None:
    for line in _read(path).splitlines():
        key, _, value = line.partition(" ")
        if key == name:
            return int(value)
    return None
