"""`make unit`: the quick tests, which need neither Docker nor Pulumi."""

import argparse
from functools import partial

from tools.commands.test import PROGRAMS, SUITES, Tests
from tools.console.steps import Runner, Step
from tools.machine import debian


def run(options: argparse.Namespace, runner: Runner) -> int:
    runner.run([Step("Programs of the tests", partial(debian.ensure, PROGRAMS["unit"]))])
    tests = Tests()
    return tests.run(tests.suites(SUITES["unit"]), runner)
