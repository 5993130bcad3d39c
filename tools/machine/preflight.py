"""Checks what would make `make up` fail, before anything is changed."""

import os
import platform
import shutil
import sys
from pathlib import Path

from infra.service import STACK_LABEL
from infra.settings import PlatformSettings
from tools.console.steps import StepFailed
from tools.machine import docker_engine, ports
from tools.machine.docker_engine import DockerEngine
from tools.paths import cache

# The images, their layers and the state of a local stack take about 1.7 GB.
MINIMUM_FREE_BYTES = 2 * 1024**3


def check(settings: PlatformSettings, template: Path) -> str:
    """Check the system, the disks and the port. Returns a summary line.

    Raises:
        StepFailed: one of them does not meet the needs of the stack; the message says which.
    """
    if sys.platform not in ("linux", "darwin"):
        raise StepFailed(f"This runs on Linux and macOS, not on {sys.platform}.", "On Windows, run it inside WSL 2.")
    engine = docker_engine.find(docker_engine.configured_url())
    free = check_disk(_disks(engine))
    if engine is None or engine.socket:
        check_port(settings, engine, template)
    system = platform.freedesktop_os_release()["PRETTY_NAME"] if sys.platform == "linux" else "macOS"
    return f"{system}, {free / 1024**3:.0f} GB free, port {settings.edge.http_port}"


def check_disk(folders: list[Path], minimum: int = MINIMUM_FREE_BYTES) -> int:
    """The free space of the fullest of the folders' disks, in bytes.

    Raises:
        StepFailed: it is less than `minimum` bytes.
    """
    free = {folder: shutil.disk_usage(folder).free for folder in folders}
    tightest = min(free, key=free.__getitem__)
    megabytes, needed = free[tightest] // 1024**2, minimum // 1024**2
    if free[tightest] < minimum:
        raise StepFailed(
            f"The disk of {tightest} is nearly full: {megabytes} MB free, {needed} MB needed.",
            "Make room (`docker system df` and `docker image prune` free Docker's part), then run this again.",
        )
    return free[tightest]


def check_port(settings: PlatformSettings, engine: DockerEngine | None, template: Path) -> None:
    """Check that the edge's port is free, or that the edge of this stack has it already.

    Raises:
        StepFailed: another program has it; the message names the program if this user can see it.
    """
    port = settings.edge.http_port
    if all(ports.is_free(address, port) for address in settings.edge.addresses):
        return
    holder = None
    if engine:
        for container in engine.client().containers.list(sparse=True):
            if any(entry.get("PublicPort") == port for entry in container.attrs["Ports"]):
                if container.attrs["Labels"].get(STACK_LABEL) == settings.name:
                    return
                holder = f"the container {container.attrs['Names'][0].lstrip('/')}"
    raise StepFailed(
        f"Port {port} is taken by {holder or ports.listening_process(port) or 'another program'}.",
        f"Stop that program, or set another port in {template.name}: vps:platform -> edge -> http_port.",
    )


def _disks(engine: DockerEngine | None) -> list[Path]:
    folders = [cache()]
    if engine and engine.socket:
        root = Path(engine.client().info()["DockerRootDir"])
        if os.access(root.parent, os.X_OK) and root.exists():
            folders.append(root)
    return folders
