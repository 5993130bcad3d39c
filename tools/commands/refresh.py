"""`make refresh`: read what is really there into the stack's state, so that the next `make up` mends what differs."""

import argparse

from tools.commands.up import deployment
from tools.console.steps import Report, Runner, Step
from tools.paths import HOME
from tools.stack import lock
from tools.stack.config import LOCAL
from tools.stack.pulumi_stack import changes


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)


def run(options: argparse.Namespace, runner: Runner) -> None:
    with lock.exclusive(HOME, "make refresh") as held:
        chosen = deployment(options.stack, held)

        def refresh(report: Report) -> str:
            return changes(chosen.stack.refresh(report))

        runner.run([*chosen.steps(), Step("Refresh", refresh)])
