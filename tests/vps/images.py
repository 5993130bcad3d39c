"""A Docker data folder that holds the platform's images already: no VPS of the tests reaches a registry."""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.vps.network import Namespace
from tools import docker_engine
from tools.docker_engine import DockerEngine
from tools.paths import cache
from tools.steps import Report

_STORES = ("image", "overlay2")


def ensure(source: DockerEngine, names: Sequence[str], network: Namespace, report: Report) -> Path:
    """The folder, made once for these images (half a minute): a daemon in `network` loads them from `source`."""
    client = source.client()
    ids = sorted(str(client.images.get(name).id) for name in names)
    shelf = cache() / "vps-images"
    folder = shelf / hashlib.sha256("\n".join([*ids, *sorted(names)]).encode()).hexdigest()[:12]
    if not folder.exists():
        shutil.rmtree(shelf, ignore_errors=True)
        partial = shelf / "partial"
        partial.mkdir(parents=True)
        _load(source, names, network, partial, report)
        partial.rename(folder)
    return folder


def copy(images: Path, target: Path) -> None:
    """Give a daemon these images. Layers never change, so its copy shares their files."""
    for store in _STORES:
        subprocess.run(["cp", "--archive", "--link", images / store, target / store], check=True)


def _load(source: DockerEngine, names: Sequence[str], network: Namespace, data: Path, report: Report) -> None:
    run = data.with_name("run")
    run.mkdir()
    socket = run / "docker.sock"
    arguments = [
        *("--data-root", str(data), "--exec-root", str(run / "exec"), "--pidfile", str(run / "pid")),
        *("--host", f"unix://{socket}", "--bridge=none", "--iptables=false", "--ip6tables=false"),
    ]
    with (run / "log").open("wb") as log:
        daemon = subprocess.Popen(
            ["nsenter", f"--net={network.path}", "dockerd", *arguments],
            stdout=log,
            stderr=log,
            env={**os.environ, "DOCKER_HOST": ""},
        )
    try:
        engine = docker_engine.wait(f"unix://{socket}", run / "log", lambda: daemon.poll() is not None)
        report.say(f"loading {len(names)} images for the VPS")
        save = subprocess.Popen(["docker", "--host", source.url, "save", *names], stdout=subprocess.PIPE)
        subprocess.run(
            ["docker", "--host", engine.url, "load"], stdin=save.stdout, stdout=subprocess.DEVNULL, check=True
        )
        assert save.wait() == 0
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(run, ignore_errors=True)
