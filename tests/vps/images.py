"""Docker data folders with images: the tests' own Docker daemons reach no registry."""

import contextlib
import fcntl
import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tools.console.steps import Report
from tools.machine.docker_engine import DockerEngine
from tools.machine.own_docker import OwnDocker
from tools.paths import cache

_STORES = ("image", "overlay2")


def ensure(source: DockerEngine, names: Sequence[str], shelf: str, report: Report) -> Path:
    """The data folder for these images, which a temporary Docker daemon loads from `source` (half a minute, once).

    `shelf` is the name of its folder in the cache, where it replaces the one for other images. Several
    processes may call this at the same time.
    """
    client = source.client()
    ids = sorted(str(client.images.get(name).id) for name in names)
    place = cache() / shelf
    folder = place / hashlib.sha256("\n".join([*ids, *sorted(names)]).encode()).hexdigest()[:12]
    with (cache() / f"{shelf}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            shutil.rmtree(place, ignore_errors=True)
            partial = place / "partial"
            partial.mkdir(parents=True)
            report.say(f"loading {len(names)} images")
            with contextlib.closing(OwnDocker(partial)) as own:
                own.start()
                own.take_images(source, names)
            partial.rename(folder)
    return folder


def copy(images: Path, target: Path) -> None:
    """Copy the images into a daemon's data folder, with hard links: layers never change."""
    for store in _STORES:
        if (images / store).exists():
            subprocess.run(["cp", "--archive", "--link", images / store, target / store], check=True)
