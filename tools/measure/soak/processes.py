"""The api and the executor as processes, and the kernel's figures of them."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.machine import process
from tools.machine.ports import free_port
from tools.measure.bench import machine
from tools.measure.bench.client import Client, tcp, unix
from tools.paths import ROOT

_SECONDS_TO_END = 30
_NO_LIMIT = "1000000"


@dataclass(frozen=True)
class Reading:
    """The figures of an idle process. Memory is in bytes."""

    process: str
    pid: int
    descriptors: int
    threads: int
    memory: int


class Processes:
    """An api and an executor that share a Unix socket. `engine` is Docker's URL, `images` are by environment."""

    def __init__(self, engine: str, images: Mapping[str, str]) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vps-soak-"))
        socket = self._folder / "executor.sock"
        port, metrics_port = free_port(), free_port()
        self._variables = {
            "app.executor": {
                "EXECUTOR_PROFILE": "{}",
                "EXECUTOR_ENVIRONMENTS": json.dumps(dict(images)),
                "EXECUTOR_STACK": "vps-soak",
                "EXECUTOR_SOCKET": str(socket),
                "EXECUTOR_ENGINE": engine,
                "EXECUTOR_SWEEP_SECONDS": "5",
            },
            "app.api": {
                "API_PROFILE": "{}",
                "API_EXECUTOR_SOCKET": str(socket),
                "API_HOST": "127.0.0.1",
                "API_PORT": str(port),
                "API_METRICS_PORT": str(metrics_port),
                "API_REQUESTS_PER_MINUTE": _NO_LIMIT,
            },
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self.api = Client(tcp("127.0.0.1", port))
        self.executor = Client(unix(socket))

    @property
    def log(self) -> Path:
        """The log of both."""
        return self._folder / "log"

    def start(self) -> None:
        """Start both."""
        for module in self._variables:
            self._start(module)

    def kill_executor(self) -> None:
        """Kill the executor and start it again, as Docker's restart policy does."""
        executor = self._running["app.executor"]
        executor.kill()
        executor.wait()
        self._start("app.executor")

    def read(self, ready: int) -> list[Reading]:
        """The figures of both, without the descriptor that the executor has for each of the `ready` sandboxes."""
        return [
            Reading(
                process=module.removeprefix("app."),
                pid=running.pid,
                descriptors=_entries(running.pid, "fd") - (ready if module == "app.executor" else 0),
                threads=_entries(running.pid, "task"),
                memory=machine.memory([running.pid]),
            )
            for module, running in self._running.items()
        ]

    def stop(self) -> None:
        """End both with SIGTERM."""
        for running in self._running.values():
            process.terminate(running, _SECONDS_TO_END)

    def close(self) -> None:
        """End both and remove their files."""
        self.stop()
        shutil.rmtree(self._folder)

    def _start(self, module: str) -> None:
        with self.log.open("ab") as log:
            self._running[module] = subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env={"PATH": os.environ["PATH"], **self._variables[module]},
                stdout=log,
                stderr=log,
            )


def _entries(pid: int, folder: str) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/{folder}").iterdir())
