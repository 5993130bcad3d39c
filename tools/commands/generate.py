"""`make generate`: write every generated file that is committed again. Tests compare each with its source.

The diagrams need Java, Maven and Graphviz, and have a command of their own: `make diagrams`.
"""

import argparse
import shlex
import shutil
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tools.console.steps import Report, Runner, Step
from tools.machine import process
from tools.paths import ROOT

MODULES = {
    "Seccomp profile": "tools.build.seccomp",
    "Dashboards": "monitoring.grafana.render",
    "Tables of the documents": "docs.reference",
}
"""Modules that write generated files when they are run."""
FRONTEND = ROOT / "frontend"


def run(options: argparse.Namespace, runner: Runner) -> None:
    steps = [Step(name, partial(_module, module)) for name, module in MODULES.items()]
    runner.run([*steps, Step("Page", _page), Step("Lock files", _locks)])


def lock_files() -> dict[Path, tuple[str, ...]]:
    """Each requirements.txt of the checkout, with the command in its second line that wrote it."""
    files = [ROOT / "requirements.txt", ROOT / "tools/measure/bench/requirements.txt"]
    files += sorted((ROOT / "images").glob("*/requirements.txt"))
    return {file: tuple(shlex.split(file.read_text().splitlines()[1].lstrip("# "))) for file in files}


def _module(module: str, report: Report) -> str:
    _run([sys.executable, "-m", module], ROOT, report)
    return module


def _page(report: Report) -> str:
    if not shutil.which("npm"):
        return "left as it is: there is no npm on PATH"
    _run(["npm", "ci"], FRONTEND, report)
    _run(["npm", "run", "build"], FRONTEND, report)
    return "built from frontend/"


def _locks(report: Report) -> str:
    """Write the lock files again. Versions that still satisfy a requirements.in are kept."""
    locks = lock_files()
    for file, (program, *arguments) in locks.items():
        _run([str(Path(sys.executable).with_name(program)), *arguments, "--quiet"], file.parent, report)
    return ", ".join(str(file.relative_to(ROOT)) for file in locks)


def _run(argv: Sequence[str], folder: Path, report: Report) -> None:
    with process.explained(
        f"`{shlex.join([Path(argv[0]).name, *argv[1:3]])}` failed.", "Fix the cause, then run this again.", report
    ):
        process.run(argv, report, cwd=folder)
