"""Visitors' code in an interpreter that is another program: Node is started ahead, others are not."""

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations
import os

from .wires import JOB, READY, read_job, say_ready

_WARM_NODE = "/opt/guest/node.cjs"


def run_node(options: list[str]) -> None:
    """Become a Node that waits for its job. `options` are Node's own."""
    _restore_signals()
    os.execvp("node", ["node", *options, _WARM_NODE, str(JOB), str(READY)])  # noqa: S606


def run_program(command: list[str]) -> None:
    """Wait for the job, then become the program that runs it: `command`, the main file and the job's arguments.

    For Bash that takes no longer than waking one that waits.
    """
    say_ready()
    job = read_job()
    _restore_signals()
    os.execvp(command[0], [*command, *job])  # noqa: S606


def _restore_signals() -> None:
    """Python ignores these, and a program would inherit that."""
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
