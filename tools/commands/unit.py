"""`make unit`: the tests that need neither Docker nor Pulumi."""

import argparse
from functools import partial

from tools.commands.test import UNIT, UNIT_PROGRAMS, Tests
from tools.console.steps import EXIT_FAILED, Runner, Step
from tools.machine import debian


def run(options: argparse.Namespace, runner: Runner) -> int:
    if runner.run([Step("Programs of the tests", partial(debian.ensure, UNIT_PROGRAMS))])[-1].failure:
        return EXIT_FAILED
    tests = Tests()
    return tests.run(tests.suites(UNIT), runner)
