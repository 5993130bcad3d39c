"""`make format`: format the code and sort its imports, as `make check` expects."""

import argparse
import sys

from tools.console.steps import Report, Runner, Step
from tools.machine import process

COMMANDS = (("ruff", "check", "--fix", "."), ("ruff", "format", "."))


def run(options: argparse.Namespace, runner: Runner) -> None:
    runner.run([Step("Format", _format)])


def _format(report: Report) -> str:
    with process.explained("Lint found what it can't correct itself.", "Correct it by hand.", report):
        said = [process.run([sys.executable, "-m", *command], report) for command in COMMANDS]
    return "; ".join(text.strip().rpartition("\n")[2] for text in said)
