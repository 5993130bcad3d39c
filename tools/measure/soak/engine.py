"""A Docker of the soak's own, so that it may be restarted. What runs on the machine's Docker is left alone."""

import contextlib
from pathlib import Path

import docker

from tools.machine.own_docker import OwnDocker


class SoakDocker(OwnDocker):
    """Counts what is there of containers, and leaves none."""

    def restart(self) -> None:
        """End it as an upgrade would, with all that runs on it, and start it again."""
        self.stop()
        self.start()

    def containers(self) -> int:
        """How many containers there are, in whatever state."""
        return len(self.engine.client().api.containers(all=True, quiet=True))

    def shims(self) -> int:
        """How many of its own processes hold a container."""
        mine = f"{self.folder}/".encode()
        count = 0
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended
                line = file.read_bytes()
                count += b"containerd-shim" in line and mine in line
        return count

    def close(self) -> None:
        """See `OwnDocker`. Containers would outlive it."""
        with contextlib.suppress(docker.errors.DockerException, OSError):
            api = self.engine.client().api
            for container in api.containers(all=True, quiet=True):
                api.remove_container(container["Id"], force=True)
        super().close()
