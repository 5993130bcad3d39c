"""`make recover STACK=prod`: from an empty server and the repository of the backups to the running platform."""

import argparse

from tools.commands import up
from tools.console.steps import Runner, Step, StepFailed
from tools.paths import HOME
from tools.stack import lock
from tools.stack.config import LOCAL
from tools.stack.recovery import Recovery
from tools.stack.server import Server


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)


def run(options: argparse.Namespace, runner: Runner) -> None:
    if options.stack == LOCAL:
        raise StepFailed("`make recover` is for a server.", "On this machine: make up, then make restore.")
    with lock.exclusive(HOME, "make recover") as held:
        server = Server(held, options.stack)
        runner.run(server.steps())
        recovery = Recovery(server.stack, server.settings)
        runner.run([*recovery.steps(), *server.deployment(), Step("End", recovery.end)])
    up.show(server.outputs, runner)
