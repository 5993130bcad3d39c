"""`make bench`: how long `make up` takes on this machine. Figures to read, not a test."""

import argparse
import sys
import time
from functools import partial
from pathlib import Path

import httpx

from tools import columns, process, timings
from tools.commands.up import STACK, TEMPLATE
from tools.paths import ROOT
from tools.stack_config import settings
from tools.steps import EXIT_FAILED, Report, Runner, Step, StepFailed

_SECONDS_TO_ANSWER = 60
_PROGRAM = {"environment": "python", "code": 'print("Hello, World!")'}


class _Bench:
    """Each measurement is a step; its seconds are the figure."""

    def steps(self) -> list[Step]:
        return [
            Step("Take down", partial(self._make, "down")),
            Step("Up, everything built, to the first execution", self._up_and_execute),
            Step("Up again, nothing to change", partial(self._make, "up")),
        ]

    def _up_and_execute(self, report: Report) -> str:
        self._make("up", report)
        edge = settings(STACK, TEMPLATE, {}).edge
        url = f"http://{edge.api_hosts[0]}:{edge.http_port}/execute"
        deadline = time.monotonic() + _SECONDS_TO_ANSWER
        while True:
            answer = httpx.post(url, json=_PROGRAM, timeout=_SECONDS_TO_ANSWER, trust_env=False)
            if answer.status_code == httpx.codes.OK and answer.json()["status"] == "success":
                return f"the execution took {answer.json()['execution_time']} s"
            if time.monotonic() > deadline:
                raise StepFailed(f"{url} answers {answer.status_code}: {answer.text}", "`make logs SERVICE=api`")
            time.sleep(0.2)

    def _make(self, command: str, report: Report) -> str:
        try:
            process.run([sys.executable, str(Path("tools") / "bootstrap.py"), command], report, cwd=ROOT)
        except process.CommandFailed as error:
            raise StepFailed(
                f"`make {command}` failed.", f"Run `make {command}` and go on from there.", report.log
            ) from error
        return "done"


def run(options: argparse.Namespace, runner: Runner) -> int:
    results = runner.run(_Bench().steps())
    if results[-1].failure:
        return EXIT_FAILED
    bare = {"Python environment": timings.environment_seconds(), **timings.longest_seconds()}
    rows = [("measured now", "seconds"), *((it.step.name, f"{it.seconds:.1f}") for it in results[1:])]
    runner.console.print()
    columns.show(runner.console, rows, numbers=[1])
    rows = [("the longest run of each step on this machine", "seconds")]
    rows += [(name, f"{seconds:.1f}") for name, seconds in bare.items()]
    rows.append(("their sum, an estimate for a bare machine", f"{sum(bare.values()):.1f}"))
    runner.console.print()
    columns.show(runner.console, rows, numbers=[1])
    return 0
