"""Visitors' code in an interpreter that is another program: Node, which is started ahead, and Bash, which is not."""

import _signal  # type: ignore[import-not-found]  # `signal` without its enumerations
import os

from .wires import JOB, READY, read_job, say_ready

_WARM_NODE = "/opt/guest/node.cjs"


def run_node(options: list[str]) -> None:
    """Become a Node that waits for its job. `options` are Node's own."""
    _restore_signals()
    os.execvp("node", ["node", *options, _WARM_NODE, str(JOB), str(READY)])  # noqa: S606


def run_bash() -> None:
    """Wait for the job, then become the Bash that runs it: that takes no longer than waking one that waits."""
    say_ready()
    job = read_job()
    _restore_signals()
    os.execvp("bash", ["bash", *job])  # noqa: S606


def _restore_signals() -> None:
    """Python ignores these, and a program would inherit that."""
    for number in (_signal.SIGPIPE, _signal.SIGXFSZ):
        _signal.signal(number, _signal.SIG_DFL)
