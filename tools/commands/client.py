"""`make client`: the API in a terminal, call by call."""

import argparse

from tools.client.__main__ import DEFAULT_URL, start
from tools.console.steps import Runner


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--url")


def run(options: argparse.Namespace, runner: Runner) -> int:
    return start(options.url or DEFAULT_URL, only_tour=False)
