"""`make client`: the API in a terminal, call by call.

With --tour it makes the calls without asking, and its exit code is 0 if every answer was as expected.
"""

import argparse

from tools.client import session
from tools.console.steps import Runner


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url", default="http://localhost:8000")
    parser.add_argument("--tour", action="store_true")


def run(options: argparse.Namespace, runner: Runner) -> int:
    return session.start(options.url, runner.console, only_tour=options.tour)
