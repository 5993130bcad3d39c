"""The executor in a container of its own, as the program describes it, and its sandboxes seen from outside of them."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

from tests.waiting import SLOWNESS
from tools.machine.docker_engine import DockerEngine
from tools.stack import executor

IMAGE = "VPS_EXECUTOR_IMAGE"
"""The variable with the name of the executor's image."""
SOURCES = "VPS_EXECUTOR_SOURCES"
"""The variable with a folder that takes the place of the image's /srv: to try a change without building the image."""
_STOP_SECONDS = 20
_GROUPS = "/sys/fs/cgroup/pids/sandboxes /sys/fs/cgroup/sandboxes"
"""Where the control groups of the sandboxes are, under version 1 and 2."""
_LIST = f"ls -d $(ls -d {_GROUPS} 2>/dev/null)/*/ 2>/dev/null | grep -v /executor/"
_FIGURES = {
    "processor seconds": ("/sys/fs/cgroup/cpuacct/sandboxes/{}/cpuacct.usage", 1e9),
    "processes": ("/sys/fs/cgroup/pids/sandboxes/{}/pids.current", 1),
    "most bytes": ("/sys/fs/cgroup/memory/sandboxes/{}/memory.max_usage_in_bytes", 1),
}
_FIGURES_V2 = {
    "processor seconds": ("/sys/fs/cgroup/sandboxes/{}/cpu.stat", 1e6),
    "processes": ("/sys/fs/cgroup/sandboxes/{}/pids.current", 1),
    "most bytes": ("/sys/fs/cgroup/sandboxes/{}/memory.current", 1),
}


def _of_this_machine(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30).stdout


@dataclass(frozen=True)
class Host:
    """A host that runs executors.

    `reach` makes a Unix socket of the host one of this machine, at the same path. `python` runs code on the host, as
    root, and returns its stdout.
    """

    engine: DockerEngine
    reach: Callable[[Path], None] = lambda socket: None
    python: Callable[[str], str] = _of_this_machine

    @cached_property
    def client(self) -> docker.DockerClient:
        """Of its Docker."""
        return self.engine.client()

    @cached_property
    def apparmor(self) -> bool:
        """Whether it has the profiles of infra/host/apparmor."""
        return self.engine.apparmor(os.environ[IMAGE])


class Executor:
    """An executor whose socket is `executor.sock` in `folder`, a folder of this machine. One container at a time.

    `packages` may be set to the store of a packages service before it is started.
    """

    def __init__(self, host: Host, name: str, folder: Path, variables: Mapping[str, str], image: str = "") -> None:
        self._host = host
        self._name = name
        self._folder = folder
        self._variables = variables
        self._image = image or os.environ[IMAGE]
        self._container: Container | None = None
        self.packages: Path | None = None
        self.socket = folder / "executor.sock"

    def start(self, **options: Any) -> None:
        """Start it anew; `options` of docker-py replace the program's. What an earlier one has logged is gone."""
        self.remove()
        self._folder.mkdir(exist_ok=True)
        sources = {os.environ[SOURCES]: {"bind": "/srv", "mode": "ro"}} if SOURCES in os.environ else {}
        ours = executor.options(
            self._name, self._folder, self._variables, apparmor=self._host.apparmor, packages=self.packages
        )
        ours["volumes"].update(sources)
        self._container = self._host.client.containers.run(self._image, **{**ours, **options})
        self._host.reach(self.socket)

    def signal(self, number: signal.Signals) -> float:
        """Send a signal, wait for the container to end (SIGKILL after 20 s), and return the seconds that it took."""
        started = time.monotonic()
        if self.running:
            self._container_made.kill(number.name)
            try:
                self._container_made.wait(timeout=_STOP_SECONDS)
            except (APIError, OSError):
                self._container_made.kill()
        return time.monotonic() - started

    def wait(self, seconds: float) -> tuple[int, str]:
        """The exit code and the log, once it has ended by itself within so many seconds of a usual machine."""
        return int(self._container_made.wait(timeout=seconds * SLOWNESS)["StatusCode"]), self.log()

    @property
    def running(self) -> bool:
        """Whether its container runs."""
        if self._container is None:
            return False
        self._container.reload()
        return str(self._container.status) == "running"

    def log(self) -> str:
        """What it has logged."""
        return self._container_made.logs().decode()

    def remove(self) -> None:
        """Remove the container, with all that runs in it."""
        if self._container is not None:
            with contextlib.suppress(NotFound):
                self._container.remove(force=True)
            self._container = None

    def sandboxes(self) -> list[str]:
        """The ids of its sandboxes, by their control groups. None when it does not run."""
        if not self.running:
            return []
        return [Path(group).name for group in self._shell(_LIST).split()]

    def used(self, sandbox: str, figure: str) -> float:
        """A figure of a sandbox's control group: `processor seconds`, `processes`, or `most bytes` of memory."""
        paths = (_FIGURES[figure], _FIGURES_V2[figure])
        said = self._shell(f"cat {' '.join(path.format(sandbox) for path, _ in paths)} 2>/dev/null")
        number = next(word for word in said.split() if word.isdecimal())
        return int(number) / (paths[1][1] if "usage_usec" in said else paths[0][1])

    def kill(self, sandbox: str) -> None:
        """Kill every process of a sandbox, as root of the host can."""
        for process in self._on_the_host():
            with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                if sandbox in Path(f"/proc/{process}/cgroup").read_text():
                    os.kill(process, signal.SIGKILL)

    def kill_itself(self) -> None:
        """Kill the executor's process, and wait for the container to end with it."""
        os.kill(self._executor, signal.SIGKILL)
        self.wait(_STOP_SECONDS)

    def restart(self) -> None:
        """Start its container again, as Docker does when it has ended."""
        self._container_made.start()

    def inside(self, *command: str) -> None:
        """Run a command in the executor's namespaces, as its user."""
        entered = ("nsenter", f"--target={self._executor}", "--user", "--mount", "--setuid=0", "--setgid=0")
        subprocess.run([*entered, *command], check=True)

    def kill_runtimes(self, name: str, seconds: float) -> None:
        """For `seconds`, kill each process of the OCI runtime `name` that is or appears in the container.

        gVisor's have longer names: runsc-sandbox and runsc-gofer.
        """
        end, identity = time.monotonic() + seconds, str(self._container_made.id)
        while time.monotonic() < end:
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    command = (process / "cmdline").read_bytes().split(b"\0")[0]
                    if command.startswith(name.encode()) and identity in (process / "cgroup").read_text():
                        os.kill(int(process.name), signal.SIGKILL)

    def bound(self, **limits: str) -> None:
        """Change limits of its container, as `docker update` calls them: `pids_limit`, `memory`, `memory_swap`."""
        options = [f"--{name.replace('_', '-')}={value}" for name, value in limits.items()]
        docker_cli = ("docker", "-H", self._host.engine.url, "update")
        subprocess.run([*docker_cli, *options, self._name], check=True, capture_output=True)

    def python(self, code: str) -> str:
        """What code prints that runs in the container beside the executor, as its root. A failure fails the test."""
        ended = self._container_made.exec_run(["python", "-c", code], user="0:0")
        assert isinstance(ended.output, bytes)
        assert ended.exit_code == 0, ended.output
        return ended.output.decode()

    def processes(self) -> list[str]:
        """The states and commands of all processes in the container, the sandboxes' too."""
        return [" ".join(process) for process in self._container_made.top(ps_args="-eo pid,stat,args")["Processes"]]

    def kept(self) -> tuple[set[str], int]:
        """The ids of sandboxes in its files, its mounts and its processes, and the number of its descriptors."""
        processes, executor = self._on_the_host(), Path(f"/proc/{self._executor}")
        folder = executor / "root/run/sandboxes"
        names = [found.name for found in (*folder.iterdir(), *(folder / "state").iterdir())]
        said = [*names, (executor / "mountinfo").read_text(), *processes.values()]
        ids = set(re.findall(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])", "\n".join(said)))
        return ids, len(list((executor / "fd").iterdir()))

    def _on_the_host(self) -> dict[int, str]:
        """The commands of all processes in the container, by the host's number of each."""
        found = self._container_made.top(ps_args="-eo pid,args")["Processes"]
        return {int(pid): command for pid, command in found}

    @property
    def _executor(self) -> int:
        """The host's process id of the executor itself."""
        (found,) = (pid for pid, command in self._on_the_host().items() if command.endswith(" app.executor"))
        return found

    @property
    def _container_made(self) -> Container:
        assert self._container is not None, "the executor was not started"
        return self._container

    def _shell(self, script: str) -> str:
        said = self._container_made.exec_run(["sh", "-c", script], user="0:0").output
        assert isinstance(said, bytes)
        return said.decode()
