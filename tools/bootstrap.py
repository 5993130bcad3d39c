"""Create the virtual environment that everything else runs in, then hand over to it.

The venv module makes it, its pip installs uv, and uv installs the rest: several times faster than pip. All packages
are checked against the hashes in requirements.txt. This file uses the standard library only, and no syntax newer than
Python 3.7, so that an old interpreter prints a sentence and not a traceback. The stamp is written last: after an
interruption, the next run starts from the beginning.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Run = Callable[[list[str], dict[str, str]], str]
    """Runs a command with these environment variables, unless the user has set them. Returns its output, or raises
    SetupFailed."""

ROOT = Path(__file__).resolve().parent.parent
MINIMUM = (3, 11)
TAIL_LINES = 20
UV_VARIABLES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "cert": "SSL_CERT_FILE",
}
"""Options of pip, and the environment variables that tell uv the same: uv does not read pip's configuration."""


class SetupFailed(Exception):
    """What failed and what to do, as the user reads it."""


def recipe(root: Path) -> str:
    """A hash of what the environment depends on: the requirements, the interpreter, and the folder (venvs can't be
    moved)."""
    digest = hashlib.sha256((root / "requirements.txt").read_bytes())
    digest.update(repr((sys.version, sys.base_prefix, str(root))).encode())
    return digest.hexdigest()


def is_made(root: Path) -> bool:
    """Whether the environment was finished for exactly this recipe."""
    stamp = root / ".venv" / "recipe"
    return stamp.exists() and stamp.read_bytes() == recipe(root).encode()


def make(root: Path, run: Run) -> None:
    """Create the environment anew, with `run` for the commands."""
    if not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip"):
        _install_venv(run)
    venv, requirements = root / ".venv", root / "requirements.txt"
    python, only_uv = str(venv / "bin" / "python"), venv / "uv.txt"
    pip = [python, "-m", "pip", "--disable-pip-version-check", "--no-input"]
    uv = [str(venv / "bin" / "uv"), "pip", "install", "--python", python]
    run([sys.executable, "-m", "venv", "--clear", str(venv)], {})
    only_uv.write_text(_locked_uv(requirements.read_text()))
    run([*pip, "install", "--require-hashes", "--requirement", str(only_uv)], {})
    variables = uv_variables(run([*pip, "config", "list"], {}))
    run([*uv, "--require-hashes", "--requirement", str(requirements)], variables)
    (venv / "recipe").write_text(recipe(root))


def _locked_uv(requirements: str) -> str:
    """The entry of uv: its version and its hashes."""
    found = re.search(r"^uv==.*(\n +--hash.*)+", requirements, re.MULTILINE)
    if not found:
        raise SetupFailed("requirements.txt does not lock uv. Restore the file: git checkout requirements.txt")
    return found[0]


def uv_variables(pip_config: str) -> dict[str, str]:
    """The environment variables for uv that say what the output of `pip config list` says.

    pip lists what the environment sets first, which wins over its files.
    """
    options = re.findall(r"^(?:global|install|:env:)\.([\w-]+)='(.*)'$", pip_config, re.MULTILINE)
    return {
        UV_VARIABLES[name]: " ".join(value.replace(r"\n", " ").split())
        for name, value in reversed(options)
        if name in UV_VARIABLES
    }


def _install_venv(run: Run) -> None:
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupFailed(
            f"This Python has no venv module. Install it (on Debian and Ubuntu: apt-get install {package}), "
            "then run the same command again."
        )
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    run(["apt-get", "update"], quiet)
    run(["apt-get", "install", "--yes", "--no-install-recommends", package], quiet)
    importlib.invalidate_caches()


def _runner(log: Path) -> Run:
    def run(argv: list[str], variables: dict[str, str]) -> str:
        with log.open("a+b") as sink:
            start = sink.seek(0, os.SEEK_END)
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env={**variables, **os.environ}, check=False
            )
            sink.seek(start)
            said = sink.read().decode(errors="replace")
        if done.returncode != 0:
            tail = "\n  ".join(said.splitlines()[-TAIL_LINES:])
            raise SetupFailed(
                f"`{' '.join(argv)}` failed. The end of {log}:\n  {tail}\n"
                "Fix the cause (most often the network or a full disk), then run the same command again."
            )
        return said

    return run


def main() -> None:
    if sys.version_info < MINIMUM:
        sys.exit(
            f"This needs Python {MINIMUM[0]}.{MINIMUM[1]} or newer, and {sys.executable} is "
            f"{sys.version_info[0]}.{sys.version_info[1]}. Install a newer one and name it, for instance: "
            "make up PYTHON=python3.12"
        )
    if not is_made(ROOT):
        log = ROOT / ".vps" / "logs" / "python-environment.log"
        log.parent.parent.mkdir(mode=0o700, exist_ok=True)
        log.parent.mkdir(exist_ok=True)
        log.write_bytes(b"")
        print(f"Python environment: installing what requirements.txt locks (log: {log})", flush=True)
        started = time.monotonic()
        try:
            make(ROOT, _runner(log))
        except SetupFailed as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            print("\nInterrupted. Run the same command again.", file=sys.stderr)
            sys.exit(130)
        print(f"Python environment: made in {time.monotonic() - started:.1f} s", flush=True)
    python = str(ROOT / ".venv" / "bin" / "python")
    os.chdir(str(ROOT))
    os.execv(python, [python, "-m", "tools", *sys.argv[1:]])  # noqa: S606 - our own Python


if __name__ == "__main__":
    main()
