"""`make unit`: the tests that need neither Docker nor Pulumi."""

import argparse
from functools import partial

from tools.commands.test import UNIT, UNIT_PROGRAMS, Tests
from tools.console.steps import Runner, Step
from tools.machine import debian


def run(options: argparse.Namespace, runner: Runner) -> int:
    runner.run([Step("Programs of the tests", partial(debian.ensure, UNIT_PROGRAMS))])
    tests = Tests()
    return tests.run(tests.suites(UNIT), runner)
