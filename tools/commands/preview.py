"""`make preview`: what `make up` would change. STACK=prod: on its server."""

import argparse

from tools.commands.up import deployment
from tools.console.steps import Report, Runner, Step
from tools.paths import HOME
from tools.stack import lock
from tools.stack.config import LOCAL


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)


def run(options: argparse.Namespace, runner: Runner) -> None:
    said: list[str] = []

    def preview(report: Report) -> str:
        said.append(chosen.stack.preview(report, "--diff"))
        return "passed by the policy pack"

    with lock.exclusive(HOME, "make preview") as held:
        chosen = deployment(options.stack, held)
        runner.run([*chosen.steps(), Step("Preview", preview)])
    runner.say("\n" + said[0].strip())
