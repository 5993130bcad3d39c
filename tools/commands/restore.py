"""`make restore`: make a running stack's data what it was in a backup."""

import argparse

from tools.console.steps import Report, Runner, Step
from tools.paths import HOME
from tools.stack import backup, health, lock, target


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default="local")
    parser.add_argument("--snapshot")


def run(options: argparse.Namespace, runner: Runner) -> None:
    settings = target.settings(options.stack)
    snapshot = [options.snapshot] if options.snapshot else []

    def restore(report: Report) -> str:
        keys = backup.secrets(settings, target.stack(options.stack, report), report)
        with target.reached(options.stack, report) as found:
            restoration = backup.Restoration(found.engine.client(), settings, found.image, keys)
            return restoration.run(snapshot, report)

    def wait(report: Report) -> str:
        with target.docker(settings, report) as engine:
            return health.wait(engine, settings.name, None, report)

    with lock.exclusive(HOME, "make restore"):
        runner.run([Step("Restore", restore), Step("Health", wait)])
