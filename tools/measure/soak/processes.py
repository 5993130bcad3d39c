"""The api as a process and the executor in its container, and the kernel's figures of them."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.machine import process
from tools.machine.docker_engine import DockerEngine
from tools.machine.ports import free_port
from tools.measure.bench import machine
from tools.measure.bench.client import Client
from tools.measure.bench.platform import processes
from tools.paths import ROOT
from tools.stack import executor

_SECONDS_TO_END = 30
_NO_LIMIT = "1000000"
_ENDS = {"executor": "-m app.executor", "PID 1 of a sandbox": "/init"}
_GROUPS = ("sys/fs/cgroup/pids/sandboxes", "sys/fs/cgroup/sandboxes")
"""Where the control groups of the sandboxes are in the executor's container, under version 1 and 2."""
_OWN_GROUP = "executor"


@dataclass(frozen=True)
class Reading:
    """The figures of an idle process. Memory is in bytes."""

    process: str
    pid: int
    descriptors: int
    threads: int
    mounts: int
    memory: int


class Processes:
    """An api and an executor that share a Unix socket. The executor is started from `image` by `engine`."""

    def __init__(self, engine: DockerEngine, image: str, environments: Sequence[str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vps-soak-"))
        self._engine = engine
        self._image = image
        self._executor_variables = {"EXECUTOR_PROFILE": "{}", "EXECUTOR_ENVIRONMENTS": json.dumps(environments)}
        socket = self._folder / executor.SOCKET
        port, metrics_port = free_port(), free_port()
        self._api_variables = {
            "API_PROFILE": "{}",
            "API_EXECUTOR_SOCKET": str(socket),
            "API_HOST": "127.0.0.1",
            "API_PORT": str(port),
            "API_METRICS_PORT": str(metrics_port),
            "API_REQUESTS_PER_MINUTE": _NO_LIMIT,
        }
        self._started: list[subprocess.Popen[bytes]] = []
        self.api = Client(("127.0.0.1", port))
        self.executor = Client(socket)

    @property
    def log(self) -> Path:
        """The log of the api. Docker has that of the executor."""
        return self._folder / "log"

    def start(self) -> None:
        """Start both."""
        variables, apparmor = self._executor_variables, self._engine.apparmor(self._image)
        options = executor.options("soak-executor", self._folder, variables, apparmor=apparmor)
        options["restart_policy"] = {"Name": "unless-stopped"}
        self._engine.client().containers.run(self._image, **options)
        with self.log.open("ab") as log:
            environ = {"PATH": os.environ["PATH"], **self._api_variables}
            command = [sys.executable, "-m", "app.api"]
            self._started.append(subprocess.Popen(command, cwd=ROOT, env=environ, stdout=log, stderr=log))

    @property
    def _container(self) -> Any:
        return self._engine.client().containers.get("soak-executor")

    def _executor_pid(self) -> int:
        found = processes(self._container)
        return next(pid for pid, command in found.items() if command.endswith(_ENDS["executor"]))

    def kill_executor(self) -> None:
        """Kill the executor, as the kernel does when memory is short. Docker's restart policy starts it again."""
        os.kill(self._executor_pid(), signal.SIGKILL)

    def sandboxes(self) -> tuple[int, int]:
        """How many first processes of sandboxes, and control groups of sandboxes, the kernel has in the container."""
        found = processes(self._container)
        first = sum(command.startswith(f"{_ENDS['PID 1 of a sandbox']} ") for command in found.values())
        root = Path(f"/proc/{self._executor_pid()}/root")
        folder = next(folder for group in _GROUPS if (folder := root / group).is_dir())
        return first, sum(group.is_dir() and group.name != _OWN_GROUP for group in folder.iterdir())

    def read(self, ready: int) -> list[Reading]:
        """The figures of both, without what the executor has for each of the `ready` sandboxes."""
        apis = [_read("api", api.pid, 0) for api in self._started]
        return [*apis, _read("executor", self._executor_pid(), ready)]

    def stop(self) -> None:
        """End both with SIGTERM."""
        for api in self._started:
            process.terminate(api, _SECONDS_TO_END)
        self._container.stop(timeout=_SECONDS_TO_END)

    def close(self) -> None:
        """End the api and remove the files of both. The executor's container ends with its Docker."""
        for api in self._started:
            process.terminate(api, _SECONDS_TO_END)
        shutil.rmtree(self._folder)


_DESCRIPTORS_EACH, _MOUNTS_EACH = 6, 2
"""Of the executor for each ready sandbox: four pipes, the script and the process; its file system and its root."""


def _mounts(pid: int) -> int:
    """The number of a process' mounts, where it has a namespace of its own: in this machine's, others mount too."""
    its, ours = (Path(f"/proc/{each}/ns/mnt").readlink() for each in (pid, "self"))
    return 0 if its == ours else len(Path(f"/proc/{pid}/mountinfo").read_text().splitlines())


def _read(name: str, pid: int, ready: int) -> Reading:
    return Reading(
        process=name,
        pid=pid,
        descriptors=sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir()) - ready * _DESCRIPTORS_EACH,
        threads=sum(1 for _ in Path(f"/proc/{pid}/task").iterdir()),
        mounts=_mounts(pid) - ready * _MOUNTS_EACH,
        memory=machine.memory([pid]),
    )
