"""Downloads Python wheels for an image on this machine, so that the build needs no index, settings or certificates."""

import hashlib
import sys
from pathlib import Path

from tools.console.steps import Report
from tools.machine import process
from tools.paths import cache, made_once

# Of the images: Debian trixie has Python 3.13 and glibc 2.41.
PYTHON = "3.13"
_MACHINES = {"amd64": "x86_64", "arm64": "aarch64"}
_GLIBC = ("manylinux_2_41", "manylinux_2_34", "manylinux_2_31", "manylinux_2_28", "manylinux_2_17", "manylinux2014")


def fetch(requirements: Path, architecture: str, report: Report) -> Path:
    """A folder with the wheels that a hash-locked requirements file names, for Docker's architecture.

    Raises:
        StepFailed: pip could not download one of them.
    """
    recipe = f"{PYTHON} {architecture} {_GLIBC}".encode() + requirements.read_bytes()
    machine = _MACHINES[architecture]
    platforms = [option for glibc in _GLIBC for option in ("--platform", f"{glibc}_{machine}")]
    argv = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--no-input"]
    argv += ["--require-hashes", "--no-deps", "--only-binary=:all:"]
    argv += ["--implementation", "cp", "--python-version", PYTHON, *platforms]
    argv += ["--requirement", str(requirements), "--dest"]
    message = f"The wheels that {requirements} locks could not be downloaded for Python {PYTHON} on {architecture}."

    def download(folder: Path) -> None:
        report.say(f"fetching the wheels of {requirements.parent.name}")
        with process.explained(message, "Fix what pip reports (most often the network), then run this again.", report):
            process.run([*argv, str(folder)], report)

    return made_once(cache() / "wheels" / hashlib.sha256(recipe).hexdigest()[:16], download)
