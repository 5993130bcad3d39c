"""`python -m tools <command>`, in the virtual environment that tools/bootstrap.py created."""

import argparse
import importlib
import signal
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from tools.console.steps import EXIT_FAILED, EXIT_INTERRUPTED, Runner, StepFailed
from tools.paths import HOME, private_folder

COMMANDS = sorted(file.stem for file in (Path(__file__).parent / "commands").glob("[a-z]*.py"))


def main() -> int:
    """Run the command that the first argument names: a module of tools/commands, which may declare options.

    Returns the exit code.
    """
    commands = argparse.ArgumentParser(prog="make", add_help=False)
    commands.add_argument("command", choices=COMMANDS)
    name = commands.parse_args(sys.argv[1:2]).command
    command: Any = importlib.import_module(f"tools.commands.{name}")
    parser = argparse.ArgumentParser(prog=f"make {name}", description=command.__doc__)
    if hasattr(command, "options"):
        command.options(parser)
    options = parser.parse_args(sys.argv[2:])
    # SIGINT too: a shell that starts this in the background ignores it, and child processes would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    runner = Runner(console, private_folder(HOME) / "logs")
    try:
        return command.run(options, runner) or 0
    except StepFailed as failure:
        runner.explain(failure)
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.print(f"\nInterrupted. Nothing is lost: run `make {name}` again to resume.")
        return EXIT_INTERRUPTED


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
