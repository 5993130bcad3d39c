"""`make outputs`: the URL and the login of each service of a stack, with its password."""

import argparse

from tools.commands.up import show
from tools.console.steps import Report, Runner, StepFailed
from tools.paths import HOME
from tools.stack import target
from tools.stack.config import LOCAL


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)


def run(options: argparse.Namespace, runner: Runner) -> None:
    report = Report(HOME / "logs" / "outputs.log")
    outputs = target.stack(options.stack, report).outputs(report, show_secrets=True)
    if not outputs:
        raise StepFailed(f"The stack {options.stack} is not up.", "`make up` brings it up.")
    show(outputs, runner)
