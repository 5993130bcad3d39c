"""A second Docker daemon beside the machine's: it can be restarted, and has a data folder of its own."""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import docker

from tools.machine import docker_engine, process
from tools.machine.docker_engine import DockerEngine

OWN_NETWORK = ("unshare", "--net")
"""Two daemons in one network namespace would take each other's bridge away."""
_SECONDS_TO_END = 60


class OwnDocker:
    """`dockerd` in a network namespace of its own. Its containers have no network, and it has the images of its data
    folder only. It needs root.

    Args:
        data: the folder of images and containers, which `close` keeps; by default a temporary one.
        live_restore: whether containers run on while it is stopped.
    """

    def __init__(self, data: Path | None = None, *, live_restore: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="vps-docker-"))
        self.log = self.folder / "log"
        self.engine = DockerEngine(f"unix://{self.folder}/docker.sock")
        self._data = data or self.folder / "data"
        (self.folder / "daemon.json").write_text(json.dumps({"live-restore": live_restore}))  # not the machine's
        self._daemon: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it and wait until it answers.

        Raises:
            StepFailed: it has ended, or does not answer within 60 seconds.
        """
        folder = self.folder
        arguments = [
            *(f"--config-file={folder}/daemon.json", f"--data-root={self._data}", f"--exec-root={folder}/exec"),
            *(f"--pidfile={folder}/pid", f"--host={self.engine.url}"),
            *("--bridge=none", "--iptables=false", "--ip6tables=false"),
        ]
        with self.log.open("ab") as log:
            daemon = self._daemon = subprocess.Popen(
                [*OWN_NETWORK, "dockerd", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, "DOCKER_HOST": ""},
            )
        docker_engine.wait(self.engine.url, self.log, lambda: daemon.poll() is not None)

    def stop(self) -> None:
        """End it, and with it all its containers, unless there is `live_restore`."""
        if self._daemon:
            process.terminate(self._daemon, _SECONDS_TO_END)

    def restart(self) -> None:
        """End it, as an upgrade does, and start it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Remove its containers, end it, and remove its files, except a data folder that was given."""
        with contextlib.suppress(docker.errors.DockerException, OSError):
            api = self.engine.client().api
            for container in api.containers(all=True, quiet=True):
                api.remove_container(container["Id"], force=True)
        self.stop()
        # dockerd mounts its data folder on itself, and leaves that when the folder is below a bind mount.
        for line in reversed(Path("/proc/self/mounts").read_text().splitlines()):
            where = Path(line.split()[1])
            if where.is_relative_to(self.folder) or where.is_relative_to(self._data):
                subprocess.run(["umount", "--lazy", where], check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def take_images(self, source: DockerEngine, references: Iterable[str]) -> None:
        """Copy images from another Docker."""
        ours: Any = self.engine.client().api  # the SDK has no types for this call
        for reference in references:
            ours.load_image(source.client().api.get_image(reference))
