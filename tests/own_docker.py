"""A second Docker daemon for a test that needs another runtime or another disk: see `tools.machine.own_docker`."""

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from app.runtimes import RUNTIMES
from tools.machine.own_docker import OWN_NETWORK, OwnDocker


def unavailable(*programs: str) -> str | None:
    """Why this machine can't run one that needs these programs; None where it can."""
    if missing := [program for program in ("dockerd", *programs) if not shutil.which(program)]:
        return f"{', '.join(missing)} is not on PATH"
    made = subprocess.run([*OWN_NETWORK, "true"], capture_output=True, text=True, check=False)
    return made.stderr.strip() or "no network namespace can be created" if made.returncode else None


@contextlib.contextmanager
def running(data: Path, runtime: str | None = None) -> Iterator[OwnDocker]:
    """A running daemon with this data folder, which must not be on a tmpfs. `runtime` is registered with it, with the
    arguments that `app.runtimes` gives.
    """
    known = {runtime: {"path": shutil.which(runtime), "runtimeArgs": RUNTIMES[runtime].arguments}} if runtime else {}
    own = OwnDocker(data, known)
    try:
        own.start()
        yield own
    finally:
        own.close()
