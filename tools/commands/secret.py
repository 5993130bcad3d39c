"""`make secret KEY=backupPassword`: read a secret from the standard input, and put it into the config, encrypted."""

import argparse
import getpass
import sys

from infra.config import NAMESPACE, SECRET_KEYS
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.paths import HOME
from tools.stack import config, lock, target
from tools.stack.config import LOCAL


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)
    parser.add_argument("--key", required=True)


def run(options: argparse.Namespace, runner: Runner) -> None:
    if options.key not in SECRET_KEYS.values():
        known = ", ".join(sorted(SECRET_KEYS.values()))
        raise StepFailed(f"{options.key!r} is no secret of the platform.", f"KEY= one of {known}.")
    value = getpass.getpass(f"{options.key}: ") if sys.stdin.isatty() else sys.stdin.read()
    if not (value := value.removesuffix("\n")):
        raise StepFailed("The standard input is empty.", f"printf %s '<value>' | make secret KEY={options.key}")

    def write(report: Report) -> str:
        target.stack(options.stack, report).set_secret(f"{NAMESPACE}:{options.key}", value, report)
        return f"{options.key} is set"

    with lock.exclusive(HOME, "make secret"):
        runner.run([Step("Secret", write)])
    runner.say(f"\n`make up{config.argument(options.stack)}` puts it in force.")
