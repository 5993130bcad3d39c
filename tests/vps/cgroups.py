"""Control groups of a VPS: one group in each hierarchy of this machine, which is the root inside the VPS."""

import shlex
import time
from collections.abc import Sequence
from pathlib import Path

_SECONDS = 30


class Cgroups:
    """The groups, for cgroups of version 1 or 2. `make` them before the VPS boots, `remove` them after it has ended."""

    def __init__(self, name: str, root: Path = Path("/sys/fs/cgroup")) -> None:
        self._root = root
        self._is_version_2 = (root / "cgroup.controllers").exists()
        if self._is_version_2:
            self._groups = [root / name]
        else:
            hierarchies = [path for path in sorted(root.iterdir()) if path.is_dir()]
            # Leave out a hierarchy of version 2 beside them, which has no controllers.
            self._groups = [path / name for path in hierarchies if not (path / "cgroup.controllers").exists()]

    @property
    def controllers(self) -> list[str]:
        """The controllers with a hierarchy of version 1."""
        names = [] if self._is_version_2 else [group.parent.name for group in self._groups]
        return [name for name in names if name != "systemd"]

    def make(self) -> None:
        for group in self._groups:
            group.mkdir(exist_ok=True)
            for setting in ("cpuset.cpus", "cpuset.mems"):
                if (group / setting).exists() and not self._is_version_2:
                    (group / setting).write_text((group.parent / setting).read_text())

    def at_boot(self, argv: Sequence[str]) -> list[str]:
        """A command that joins the groups and then executes `argv`."""
        return _joining(self._groups, argv)

    def booted(self, outer: int) -> None:
        """Move the process that waits for the VPS out again: in version 2 only leaf groups may have processes."""
        if self._is_version_2:
            (self._root / "cgroup.procs").write_text(str(outer))

    def joining(self, argv: Sequence[str]) -> list[str]:
        """As `at_boot`, for a VPS that has booted."""
        return _joining([group / "init" for group in self._groups] if self._is_version_2 else self._groups, argv)

    def remove(self) -> None:
        deadline = time.monotonic() + _SECONDS
        for top in self._groups:
            for group in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
                while group.exists():
                    try:
                        group.rmdir()
                    except OSError:
                        # Killed processes take a moment to disappear.
                        assert time.monotonic() < deadline, f"{group} can't be removed"
                        time.sleep(0.02)


def _joining(groups: Sequence[Path], argv: Sequence[str]) -> list[str]:
    joined = " && ".join(f"echo $$ >{group}/cgroup.procs" for group in groups)
    return ["sh", "-c", f"{joined} && exec {shlex.join(argv)}"]
