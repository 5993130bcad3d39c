"""A Docker engine of the soak's own, so that it may be restarted. What runs on the machine's engine is left alone."""

import contextlib
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import docker

from tools.console.steps import StepFailed

_SECONDS_TO_START = 60
_SECONDS_TO_END = 60


class PrivateEngine:
    """`dockerd` in a network namespace of its own: two in one namespace would take each other's bridge away."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="vps-soak-"))
        self._daemon: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"unix://{self._folder}/docker.sock"

    @property
    def log(self) -> Path:
        """What it says."""
        return self._folder / "dockerd.log"

    def client(self) -> docker.DockerClient:
        """A new client."""
        return docker.DockerClient(base_url=self.url, timeout=60)

    def start(self) -> None:
        """Start it, and wait until it answers, else raise `StepFailed`."""
        folder = self._folder
        options = {
            "host": self.url,
            "data-root": folder / "data",
            "exec-root": folder / "exec",
            "pidfile": folder / "pid",
            "bridge": "none",
            "iptables": "false",
            "ip-forward": "false",
        }
        with self.log.open("ab") as log:
            argv = ["unshare", "--net", "dockerd", *(f"--{name}={value}" for name, value in options.items())]
            self._daemon = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        deadline = time.monotonic() + _SECONDS_TO_START
        while not self._answers():
            if self._daemon.poll() is not None or time.monotonic() > deadline:
                raise StepFailed(
                    "A Docker engine of the soak's own does not start.",
                    "It needs root, `unshare` and `dockerd`, and in a container --privileged. The log says more.",
                    self.log,
                )
            time.sleep(0.2)

    def take_images(self, source: docker.DockerClient, references: Iterable[str]) -> None:
        """Copy images from another engine."""
        api: Any = self.client().api  # one of the calls has no types
        for reference in references:
            api.load_image(source.api.get_image(reference))

    def restart(self) -> None:
        """End it as an upgrade would, with all that runs on it, and start it again."""
        self._end()
        self.start()

    def containers(self) -> int:
        """How many there are, in whatever state."""
        return len(self.client().api.containers(all=True, quiet=True))

    def shims(self) -> int:
        """How many processes of its own hold a container."""
        mine = f"{self._folder}/".encode()
        return sum(b"containerd-shim" in line and mine in line for line in _command_lines())

    def close(self) -> None:
        """End it, and remove everything of it."""
        with contextlib.suppress(docker.errors.DockerException, OSError):
            api = self.client().api
            for container in api.containers(all=True, quiet=True):
                api.remove_container(container["Id"], force=True)
        self._end()
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            if (where := line.split()[1]).startswith(f"{self._folder}/"):
                subprocess.run(["umount", "--lazy", where], check=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _answers(self) -> bool:
        try:
            return bool(self.client().ping())
        except (docker.errors.DockerException, OSError):
            return False

    def _end(self) -> None:
        if self._daemon:
            self._daemon.terminate()
            try:
                self._daemon.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                self._daemon.kill()
                self._daemon.wait()


def _command_lines() -> Iterable[bytes]:
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                yield (process / "cmdline").read_bytes()
