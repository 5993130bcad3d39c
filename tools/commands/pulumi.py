"""`make pulumi`: what a shell needs to run `pulumi` by hand as `make` does, with the plugins that are there."""

import argparse
import shlex

from tools.console.steps import Report, Runner, Step
from tools.machine import pulumi_toolchain
from tools.paths import HOME, write_private
from tools.stack.pulumi_stack import operators_environment


def run(options: argparse.Namespace, runner: Runner) -> None:
    def find(report: Report) -> str:
        toolchain = pulumi_toolchain.ensure(report)
        found = f'PATH={shlex.quote(str(toolchain.pulumi.parent))}:"$PATH"'
        rest = [f"{name}={shlex.quote(value or '')}" for name, value in operators_environment(toolchain).items()]
        write_private(HOME / "pulumi.env", "".join(f"export {line}\n" for line in (found, *rest)))
        return f"{toolchain.version}, {toolchain.origin}"

    runner.run([Step("Pulumi", find)])
    runner.say("\nIn each shell that runs `pulumi` by hand: . .vps/pulumi.env")
