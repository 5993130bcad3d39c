"""Make the virtual environment that everything else runs in, then hand over to it.

Standard library only, and no syntax newer than Python 3.7, so that an old interpreter gets a sentence and not a
traceback. The stamp is written last: an interrupted run is simply done again.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).resolve().parent.parent
MINIMUM = (3, 11)
TAIL_LINES = 20


class SetupFailed(Exception):
    """What failed and how to go on, for the person at the keyboard."""


def recipe(root: Path) -> str:
    """What the environment depends on: its requirements, the interpreter, and its place (it can't be moved)."""
    digest = hashlib.sha256((root / "requirements.txt").read_bytes())
    digest.update(repr((sys.version, sys.base_prefix, str(root))).encode())
    return digest.hexdigest()


def is_made(root: Path) -> bool:
    """Whether the environment was finished for exactly this recipe."""
    try:
        stamp = json.loads((root / ".venv" / "stamp.json").read_text())
    except (OSError, ValueError):
        return False
    return bool(stamp.get("recipe") == recipe(root))


def make(root: Path, run: Callable[[list[str]], None]) -> float:
    """Make the environment anew; `run(argv)` runs one command or raises SetupFailed. Returns the seconds it took."""
    started = time.monotonic()
    if not importlib.util.find_spec("venv") or not importlib.util.find_spec("ensurepip"):
        _install_venv(run)
    venv = root / ".venv"
    run([sys.executable, "-m", "venv", "--clear", str(venv)])
    pip = [str(venv / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "--no-input"]
    run([*pip, "install", "--require-hashes", "--requirement", str(root / "requirements.txt")])
    seconds = round(time.monotonic() - started, 1)
    partial = venv / "stamp.partial"
    partial.write_text(json.dumps({"recipe": recipe(root), "seconds": seconds}))
    partial.replace(venv / "stamp.json")
    return seconds


def _install_venv(run: Callable[[list[str]], None]) -> None:
    package = f"python{sys.version_info[0]}.{sys.version_info[1]}-venv"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise SetupFailed(
            f"This Python has no venv module. Install it (on Debian and Ubuntu: apt-get install {package}), "
            "then run the same command again."
        )
    run(["apt-get", "update"])
    run(["apt-get", "install", "--yes", "--no-install-recommends", package])
    importlib.invalidate_caches()


def _runner(log: Path) -> Callable[[list[str]], None]:
    def run(argv: list[str]) -> None:
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        with log.open("ab") as sink:
            done = subprocess.run(
                argv, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environment, check=False
            )
        if done.returncode != 0:
            tail = "\n  ".join(log.read_text(errors="replace").splitlines()[-TAIL_LINES:])
            raise SetupFailed(
                f"`{' '.join(argv)}` failed. The end of {log}:\n  {tail}\n"
                "See to the cause (most often the network or a full disk), then run the same command again."
            )

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
        try:
            seconds = make(ROOT, _runner(log))
        except SetupFailed as error:
            sys.exit(str(error))
        except KeyboardInterrupt:
            print("\nInterrupted. The same command again goes on from here.", file=sys.stderr)
            sys.exit(130)
        print(f"Python environment: made in {seconds} s", flush=True)
    python = str(ROOT / ".venv" / "bin" / "python")
    os.chdir(str(ROOT))
    os.execv(python, [python, "-m", "tools", *sys.argv[1:]])  # noqa: S606 - our own Python


if __name__ == "__main__":
    main()
