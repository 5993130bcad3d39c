"""`make check`: lint, format, types, spelling, ends of life. Nothing is changed."""

import argparse

from tools.commands.test import Tests
from tools.console.steps import Runner


def run(options: argparse.Namespace, runner: Runner) -> int:
    tests = Tests()
    return tests.run(tests.checks(), runner)
