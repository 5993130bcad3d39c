"""`make backup`: have a stack's backup service make a backup now, or list those that there are."""

import argparse

from tools.console.steps import Report, Runner, Step
from tools.paths import HOME
from tools.stack import backup, target


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default="local")
    parser.add_argument("--list", action="store_true")


def run(options: argparse.Namespace, runner: Runner) -> None:
    if options.list:
        with target.running(options.stack, Report(HOME / "logs" / "backup.log")) as (engine, states):
            runner.console.print(backup.ask(engine.client(), states, "list"))
        return

    def make(report: Report) -> str:
        with target.running(options.stack, report) as (engine, states):
            return backup.ask(engine.client(), states, "now")

    runner.run([Step("Backup", make)])
