"""`make preview`: what `make up` would change."""

import argparse

from tools.commands.up import LocalStack
from tools.console.steps import Report, Runner, Step
from tools.paths import HOME
from tools.stack import lock


def run(options: argparse.Namespace, runner: Runner) -> None:
    said: list[str] = []

    def preview(report: Report) -> str:
        said.append(local.stack.preview(report, "--diff"))
        return "passed by the policy pack"

    with lock.exclusive(HOME, "make preview") as held:
        local = LocalStack(held)
        runner.run([*local.steps(), Step("Preview", preview)])
    runner.say("\n" + said[0].strip())
