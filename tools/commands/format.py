"""`make format`: format the code and sort its imports, as `make check` expects."""

import argparse
import sys

from tools.console.steps import EXIT_FAILED, Report, Runner, Step, StepFailed
from tools.machine import process

COMMANDS = (("ruff", "check", "--fix", "."), ("ruff", "format", "."))


def run(options: argparse.Namespace, runner: Runner) -> int:
    return EXIT_FAILED if runner.run([Step("Format", _format)])[-1].failure else 0


def _format(report: Report) -> str:
    try:
        said = [process.run([sys.executable, "-m", *command], report) for command in COMMANDS]
    except process.CommandFailed as error:
        raise StepFailed("Lint found what it can't correct itself.", "Correct it by hand.", report.log) from error
    return "; ".join(text.strip().rpartition("\n")[2] for text in said)
