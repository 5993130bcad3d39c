"""A second Docker daemon for a test that needs another runtime or another disk.

It runs in a network namespace of its own, gives its containers no network, and has the images of its data folder.
"""

import contextlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from app.runtimes import RUNTIMES
from tools.machine import docker_engine
from tools.machine.docker_engine import DockerEngine

_OWN_NETWORK = ("unshare", "--net")


def unavailable(*programs: str) -> str | None:
    """Why this machine can't run one that needs these programs; None where it can."""
    if missing := [program for program in ("dockerd", *programs) if not shutil.which(program)]:
        return f"{', '.join(missing)} is not on PATH"
    made = subprocess.run([*_OWN_NETWORK, "true"], capture_output=True, text=True, check=False)
    return made.stderr.strip() or "no network namespace can be created" if made.returncode else None


@contextlib.contextmanager
def running(data: Path, runtime: str | None = None) -> Iterator[DockerEngine]:
    """A running daemon with this data folder, which must not be on a tmpfs. `runtime` is registered with it, with the
    arguments that `app.runtimes` gives.
    """
    run = Path(tempfile.mkdtemp(prefix="vps-docker-"))
    settings = run / "daemon.json"
    settings.write_text(json.dumps({"runtimes": _entry(runtime) if runtime else {}}))
    socket = f"unix://{run}/docker.sock"
    arguments = [
        *("--config-file", str(settings), "--data-root", str(data), "--exec-root", str(run / "exec")),
        *("--pidfile", str(run / "pid"), "--host", socket),
        *("--bridge=none", "--iptables=false", "--ip6tables=false"),
    ]
    with (run / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [*_OWN_NETWORK, "dockerd", *arguments], stdout=log, stderr=log, env={**os.environ, "DOCKER_HOST": ""}
        )
    try:
        yield docker_engine.wait(socket, run / "log", lambda: daemon.poll() is not None)
    finally:
        daemon.terminate()
        daemon.wait()
        shutil.rmtree(run, ignore_errors=True)


def load(source: DockerEngine, target: DockerEngine, *images: str) -> None:
    """Copy images from one Docker to another."""
    with subprocess.Popen(["docker", "--host", source.url, "save", *images], stdout=subprocess.PIPE) as save:
        load = ["docker", "--host", target.url, "load"]
        subprocess.run(load, stdin=save.stdout, stdout=subprocess.DEVNULL, check=True)
    assert save.returncode == 0


def _entry(runtime: str) -> Mapping[str, object]:
    return {runtime: {"path": shutil.which(runtime), "runtimeArgs": RUNTIMES[runtime].arguments}}
