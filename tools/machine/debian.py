"""Installs packages with apt: on Debian or Ubuntu, as root."""

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.console.steps import Report, StepFailed
from tools.machine import process


def may_install() -> bool:
    """Whether this is Debian or a distribution derived from it, and the user is root."""
    return os.geteuid() == 0 and Path("/etc/debian_version").exists() and shutil.which("apt-get") is not None


def install(packages: Sequence[str], report: Report) -> None:
    """Install packages with apt.

    Raises:
        StepFailed: apt failed.
    """
    report.say(f"installing {', '.join(packages)}")
    patience = ("-o", "DPkg::Lock::Timeout=120")
    quiet = {"DEBIAN_FRONTEND": "noninteractive"}
    fix = "Fix what apt reports, then run the same command again."
    with process.explained(f"apt could not install {', '.join(packages)}.", fix, report):
        process.run(["apt-get", "update", *patience], report, environment=quiet)
        process.run(["apt-get", "install", "--yes", *patience, *packages], report, environment=quiet)


def ensure(programs: Mapping[str, str], report: Report) -> str:
    """Install those programs that are not on PATH. Returns the names of all.

    Args:
        programs: the name of the Debian package by the name of the program.
        report: where apt's output goes.

    Raises:
        StepFailed: some are missing and `may_install` is false, or apt failed.
    """
    if missing := [program for program in programs if not shutil.which(program)]:
        if not may_install():
            raise StepFailed(f"Not on PATH: {', '.join(missing)}.", "Install them, then run this again.")
        install([programs[program] for program in missing], report)
    return ", ".join(programs)
