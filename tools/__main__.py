"""`python -m tools <command>`, in the virtual environment that tools/bootstrap.py made."""

import argparse
import importlib
import signal
import sys

from rich.console import Console

from tools.console.steps import EXIT_FAILED, EXIT_INTERRUPTED, Runner, StepFailed
from tools.paths import HOME, private_folder

COMMANDS = (
    *("up", "preview", "down", "status", "logs", "client", "ranges", "rotate"),
    *("backup", "restore", "publish", "test", "bench", "cost", "soak", "diagrams"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in COMMANDS:
        commands.add_parser(name)
    commands.choices["up"].add_argument("--core", action="store_true")
    commands.choices["down"].add_argument("--volumes", action="store_true")
    commands.choices["down"].add_argument("--engine", action="store_true")
    commands.choices["down"].add_argument("--forget", action="store_true")
    commands.choices["logs"].add_argument("--service")
    commands.choices["client"].add_argument("--url")
    commands.choices["test"].add_argument("--gvisor", action="store_true")
    commands.choices["bench"].add_argument("--quick", action="store_true")
    commands.choices["soak"].add_argument("--executions", type=int, default=10_000)
    for name in ("backup", "restore", "rotate"):
        commands.choices[name].add_argument("--stack", default="local")
    commands.choices["backup"].add_argument("--to")
    commands.choices["publish"].add_argument("--registry", required=True)
    commands.choices["publish"].add_argument("--stack")
    commands.choices["restore"].add_argument("--from", dest="source", required=True)
    commands.choices["rotate"].add_argument("secret")
    options = parser.parse_args()
    # SIGINT too: whoever starts this in the background may have it ignored, and what we start would inherit that.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    console = Console(highlight=False)
    runner = Runner(console, private_folder(HOME) / "logs")
    try:
        command = importlib.import_module(f"tools.commands.{options.command}")
        code: int = command.run(options, runner)
    except StepFailed as failure:
        runner.explain(failure)
        return EXIT_FAILED
    except KeyboardInterrupt:
        console.print(f"\nInterrupted. Nothing is lost: `make {options.command}` again goes on from here.")
        return EXIT_INTERRUPTED
    return code


def _interrupt(number: int, _: object) -> None:
    raise KeyboardInterrupt(signal.Signals(number).name)


if __name__ == "__main__":
    sys.exit(main())
