"""The Docker of the soak test, which is restarted. The machine's Docker is not touched."""

import contextlib
from pathlib import Path

import docker

from tools.machine.own_docker import OwnDocker


class SoakDocker(OwnDocker):
    """A Docker of which containers and shims are counted, and which leaves no container."""

    def restart(self) -> None:
        """End it, and with it all its containers, as an upgrade does; then start it again."""
        self.stop()
        self.start()

    def containers(self) -> int:
        """The number of containers in any state."""
        return len(self.engine.client().api.containers(all=True, quiet=True))

    def shims(self) -> int:
        """The number of its containerd shims, each of which holds a container."""
        mine = f"{self.folder}/".encode()
        count = 0
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):  # it has ended
                line = file.read_bytes()
                count += b"containerd-shim" in line and mine in line
        return count

    def close(self) -> None:
        """See `OwnDocker`. Containers are removed first: they can outlive the daemon."""
        with contextlib.suppress(docker.errors.DockerException, OSError):
            api = self.engine.client().api
            for container in api.containers(all=True, quiet=True):
                api.remove_container(container["Id"], force=True)
        super().close()
