"""What Docker has written down about each container: `<id>/config.v2.json` in its folder of containers.

Docker replaces the file as a whole when a container is created, started, paused, killed for memory or has ended. Old
versions do so after each health check too; new ones keep health in memory alone (moby's pull request 47044), so the
health in the file may be that of the start, and isn't read here.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from app.containers.container import Container

CONFIG = "config.v2.json"
_SIGKILL = 128 + 9


@dataclass(frozen=True, kw_only=True)
class DockerContainer(Container):
    """A service's container. `finished` is Docker's time of its last end."""

    finished: str
    killed_for_memory: bool
    """It has ended and is about to be started again; its end was a kill, and Docker had noted a kill for memory."""


def read_all(folder: Path, stack: str) -> list[DockerContainer]:
    """The containers of the stack's services: of each the one that was started last, when two of them overlap."""
    found = [it for entry in folder.iterdir() if (it := read(entry, stack))]
    return list({it.service: it for it in sorted(found, key=lambda it: it.started)}.values())


def read(folder: Path, stack: str) -> DockerContainer | None:
    """A container by its folder; None when it is gone, or is none of the stack's services.

    Raises:
        OSError: the file can't be read.
        ValueError: the file is not what Docker writes.
    """
    try:
        config = json.loads((folder / CONFIG).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        labels = config["Config"]["Labels"] or {}
        if labels.get("vps.stack") != stack or labels.get("vps.role") != "service":
            return None
        state = config["State"]
        return DockerContainer(
            id=config["ID"],
            service=labels["vps.service"],
            restarts=config["RestartCount"],
            started=datetime.fromisoformat(state["StartedAt"]).timestamp(),
            finished=state["FinishedAt"],
            # A running container keeps the note when another of its processes was killed, or, with cgroup v2, one in a
            # group below its own: the executor's sandboxes.
            killed_for_memory=state["Restarting"] and state["OOMKilled"] and state["ExitCode"] == _SIGKILL,
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"{folder / CONFIG} lacks {error}") from error
