"""`make restore`: restore a stack's data from a backup, while the stack is down."""

import argparse
from pathlib import Path

from tools.console.steps import Report, Runner, Step
from tools.paths import HOME
from tools.stack import backup, lock, target


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default="local")
    parser.add_argument("--from", dest="source", required=True)


def run(options: argparse.Namespace, runner: Runner) -> None:
    folder = Path(options.source)

    def restore(report: Report) -> str:
        with target.reached(options.stack, report) as found:
            archives = backup.restore(found.engine.client(), found.prefix, found.image, folder, report)
        return f"{', '.join(archive.volume for archive in archives)} as they were saved in {folder}"

    with lock.exclusive(HOME, "make restore"):
        runner.run([Step("Restore", restore)])
