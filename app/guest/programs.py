"""Visitors' code in an interpreter that is another program: Node, which is started ahead, and Bash, which is not."""

import json
import os
import signal
from collections.abc import Sequence

from .wires import JOB, READY, read_job

_WARM_NODE = "/opt/guest/node.cjs"


def run_node(options: Sequence[str]) -> None:
    """Become a Node that waits for its job. `options` are Node's own."""
    _restore_signals()
    os.execvp("node", ["node", *options, _WARM_NODE, str(JOB), str(READY)])  # noqa: S606


def run_bash(_: Sequence[str]) -> None:
    """Wait for the job, then become the Bash that runs it: that takes no longer than waking one that waits."""
    job = json.loads(read_job())
    _restore_signals()
    os.execvp("bash", ["bash", job["main"], *job["args"]])  # noqa: S606


def _restore_signals() -> None:
    """Python ignores these, and a program would inherit that."""
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
