"""`make secret KEY=backupPassword`: read a secret from the standard input, and put it into the config, encrypted.

Where the stack has services.openbao, OpenBao brings it to its service at once.
"""

import argparse
import getpass
import sys

from infra.config import NAMESPACE, SECRET_KEYS
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.paths import HOME
from tools.stack import lock, openbao, target
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

    (name,) = [name for name, key in SECRET_KEYS.items() if key == options.key]
    told = ""

    def write(report: Report) -> str:
        nonlocal told
        target.stack(options.stack, report).set_secret(f"{NAMESPACE}:{options.key}", value, report)
        told = openbao.give(options.stack, {name: value}, report)
        return f"{options.key} is set"

    with lock.exclusive(HOME, "make secret"):
        runner.run([Step("Secret", write)])
    runner.say(f"\n{told}")
