"""A Docker engine of a test's own, in a network that ends with it: one that knows other runtimes, or has another disk.

It gives its containers no network, and starts with no image but those that its data folder holds.
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
    """Why there can be none here that uses these programs; None where there can."""
    if missing := [program for program in ("dockerd", *programs) if not shutil.which(program)]:
        return f"{', '.join(missing)} is not on PATH"
    made = subprocess.run([*_OWN_NETWORK, "true"], capture_output=True, text=True, check=False)
    return made.stderr.strip() or "no network namespace can be made" if made.returncode else None


@contextlib.contextmanager
def running(data: Path, runtime: str | None = None) -> Iterator[DockerEngine]:
    """One over this data folder, which is no memory file system. It knows `runtime`, started as it must be."""
    run = Path(tempfile.mkdtemp(prefix="vps-engine-"))
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
    """Give one engine images of another."""
    with subprocess.Popen(["docker", "--host", source.url, "save", *images], stdout=subprocess.PIPE) as save:
        load = ["docker", "--host", target.url, "load"]
        subprocess.run(load, stdin=save.stdout, stdout=subprocess.DEVNULL, check=True)
    assert save.returncode == 0


def _entry(runtime: str) -> Mapping[str, object]:
    return {runtime: {"path": shutil.which(runtime), "runtimeArgs": RUNTIMES[runtime].arguments}}
