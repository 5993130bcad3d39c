"""What the kernel counts for each container, in control groups of version 1 or 2.

A container's group is named after its id: `<id>` where Docker makes the groups itself, `docker-<id>.scope` where
systemd makes them, or `cri-containerd-<id>.scope` and `crio-<id>.scope` on a node of a cluster. It may lie anywhere in
the tree, since Docker can be told a parent, and a pod has a group for its containers.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

_GROUP = re.compile(r"(?:(?:docker|cri-containerd|crio)-)?([0-9a-f]{64})(?:\.scope)?")


class WrongVersion(Exception):
    """The mounted control groups are not of the version that was set. The message names the fix."""


@dataclass(frozen=True)
class Usage:
    """The counters of a group and of all below it. Memory is in bytes; `memory_limit` is None without a limit."""

    cpu_seconds: float
    memory: int
    memory_limit: int | None
    pids: int


class Cgroups:
    """The host's control groups, below `root`."""

    def __init__(self, root: Path, version: Literal[1, 2]) -> None:
        """
        Raises:
            WrongVersion: below `root` are no control groups of this version.
        """
        if (root / "cgroup.controllers").exists() != (version == 2):
            raise WrongVersion(
                f"{root} does not hold control groups of version {version}. Set engine.cgroup_version to {3 - version}."
            )
        self._root = root
        self._read = _read_v1 if version == 1 else _read_v2
        self._top = root / "memory" if version == 1 else root

    def read(self) -> Mapping[str, Usage]:
        """The counters of every running container by its id."""
        found = {}
        for folder, below, _ in os.walk(self._top):
            for name in tuple(below):
                if match := _GROUP.fullmatch(name):
                    below.remove(name)  # the groups inside a container are counted with it
                    try:
                        found[match[1]] = self._read(self._root, Path(folder, name).relative_to(self._top))
                    except OSError:
                        continue  # it ended in the meantime
        return found


def _read_v1(root: Path, group: Path) -> Usage:
    memory = root / "memory" / group
    limit = _number(memory / "memory.limit_in_bytes")
    return Usage(
        cpu_seconds=_number(root / "cpuacct" / group / "cpuacct.usage") / 1e9,
        memory=_used(_number(memory / "memory.usage_in_bytes"), _table(memory / "memory.stat")["total_inactive_file"]),
        # Without a limit the kernel shows the largest number of pages.
        memory_limit=limit if limit < 1 << 62 else None,
        pids=_number(root / "pids" / group / "pids.current"),
    )


def _read_v2(root: Path, group: Path) -> Usage:
    folder = root / group
    limit = (folder / "memory.max").read_text().strip()
    return Usage(
        cpu_seconds=_table(folder / "cpu.stat")["usage_usec"] / 1e6,
        memory=_used(_number(folder / "memory.current"), _table(folder / "memory.stat")["inactive_file"]),
        memory_limit=None if limit == "max" else int(limit),
        pids=_number(folder / "pids.current"),
    )


def _used(charged: int, inactive_files: int) -> int:
    """Memory without the file cache that is not in use, as `docker stats` shows it. The two are read one by one."""
    return charged - inactive_files if inactive_files < charged else charged


def _number(file: Path) -> int:
    return int(file.read_text())


def _table(file: Path) -> Mapping[str, int]:
    """The numbers of a file with a name and a number in each line."""
    return {name: int(number) for name, number in (line.split() for line in file.read_text().splitlines())}
