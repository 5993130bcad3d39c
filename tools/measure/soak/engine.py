"""The Docker of the soak test, which is restarted. The machine's Docker is not touched."""

import contextlib
import json

import docker

from tools.machine.own_docker import OwnDocker


class SoakDocker(OwnDocker):
    """A Docker whose containers go on while it restarts."""

    def __init__(self) -> None:
        super().__init__()
        (self.folder / "daemon.json").write_text(json.dumps({"live-restore": True}))

    def restart(self) -> None:
        """End it, as an upgrade does, and start it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """See `OwnDocker`. Containers are removed first: they outlive the daemon."""
        with contextlib.suppress(docker.errors.DockerException, OSError):
            api = self.engine.client().api
            for container in api.containers(all=True, quiet=True):
                api.remove_container(container["Id"], force=True)
        super().close()
