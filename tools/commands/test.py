"""`make test`: lint, types and every suite, on real parts; a summary of what ran comes last."""

import argparse
import json
import shlex
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from app.environments import ENVIRONMENTS
from tools.console import junit
from tools.console.junit import Count, Failure
from tools.console.steps import EXIT_FAILED, Report, Result, Runner, Step, StepFailed
from tools.machine import debian, process
from tools.machine.preparation import Preparation
from tools.paths import ROOT


@dataclass(frozen=True)
class Suite:
    """Tests that run together: paths below tests/.

    Their sandboxes have these environments (None: all) and this runtime (None: the default). Tests
    whose parameter is the name of another environment are deselected.
    """

    paths: Sequence[str]
    environments: Sequence[str] | None = None
    runtime: str | None = None
    by_file: bool = True
    """Whether the tests of a file run in one process, in order. Those on real parts share expensive fixtures."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of the tests."""
    at_once: int = 2
    """How many tests run at once, 0 for pytest's own process. They wait for Docker, for health checks and deadlines,
    more than for a processor."""
    left_out: Mapping[str, str] = field(default_factory=dict)
    """Tests of these paths that the suite does not run, each with the reason."""

    def images(self, images: Mapping[str, str]) -> dict[str, str]:
        """The images of the suite's environments."""
        return {name: image for name, image in images.items() if self.environments is None or name in self.environments}

    def selection(self, environments: Iterable[str]) -> tuple[str, ...]:
        """The arguments with which pytest deselects what is left out, and what needs those `environments` that are not
        the suite's."""
        out = [f"not [{name}]" for name in environments if self.environments and name not in self.environments]
        left_out = [f"--deselect=tests/{test}" for test in self.left_out]
        return (*left_out, *(("-k", " and ".join(out)) if out else ()))


_DATA: dict[str, Any] = tomllib.loads((ROOT / "tests" / "suites.toml").read_text())
CHECKS: Mapping[str, Sequence[str]] = _DATA["checks"]
PROGRAMS: Mapping[str, Mapping[str, str]] = _DATA["programs"]
SUITES = {group: {name: Suite(**suite) for name, suite in suites.items()} for group, suites in _DATA["suites"].items()}
ALONE = ("vm", "cluster", "vault")
"""Groups that run by themselves: each has an option."""

RUN_AGAIN_AT_MOST = 2
"""How many failed tests of a suite are run again. Among thousands that start processes, browsers and servers on a busy
machine, a race shows itself in one or two; a change that breaks something breaks it at the second run too."""
_LAST_FAILED = ("--last-failed", "--last-failed-no-failures=none")


class Tests:
    """The steps that check the code, and the numbers of tests that passed and failed in each.

    `preparation` is needed for suites on real parts, and its steps have run before them.
    """

    def __init__(self, preparation: Preparation | None = None) -> None:
        self._preparation = preparation
        self.counts: dict[str, Count] = {}
        self.failures: list[Failure] = []
        self.unstable: list[Failure] = []
        """How tests failed that passed when they were run again."""

    def checks(self) -> list[Step]:
        """Lint, format, types, spelling, and the ends of life of the environments' interpreters."""
        return [Step(name, partial(self._check, name)) for name in CHECKS]

    def suites(self, suites: Mapping[str, Suite]) -> list[Step]:
        """The tests, a step for each suite."""
        return [Step(f"Tests: {name}", partial(self._suite, name, suite)) for name, suite in suites.items()]

    def run(self, steps: list[Step], runner: Runner) -> int:
        """Run all steps, whatever fails, and print a summary. Returns the exit code."""
        results = runner.run(steps, keep_going=True)
        self._summarise(results, runner)
        return EXIT_FAILED if any(result.failure for result in results) else 0

    def _check(self, name: str, report: Report) -> str:
        self.counts[name] = Count(0, 1)
        said = _python(CHECKS[name], report, {}, f"{name} found something.")
        self.counts[name] = Count(1, 0)
        return said.strip().rpartition("\n")[2] or "nothing found"

    def _suite(self, name: str, suite: Suite, report: Report) -> str:
        results = report.log.with_suffix(".xml")
        results.unlink(missing_ok=True)
        images = self._preparation.images.sandboxes() if self._preparation else {}
        sandboxes = {**suite.variables, "VPS_SANDBOX_IMAGES": json.dumps(suite.images(images))}
        if self._preparation:
            sandboxes["VPS_EXECUTOR_IMAGE"] = self._preparation.images.references["executor"]
        if suite.runtime:
            sandboxes["VPS_SANDBOX_RUNTIME"] = suite.runtime
        paths = [f"tests/{path}" for path in suite.paths]
        spread = (f"--numprocesses={suite.at_once}", f"--dist={'loadfile' if suite.by_file else 'worksteal'}")
        argv = ("pytest", *paths, *suite.selection(images), f"--junitxml={results}", "--color=no", "-rs")
        run = partial(_python, report=report, environment=sandboxes, message=f"Tests with {name} failed.")
        counted = f"Tests: {name}"
        try:
            said = run((*argv, *spread))
        except StepFailed:
            self.counts[counted], failures = junit.read(results)
            if not 0 < len({failure.test for failure in failures}) <= RUN_AGAIN_AT_MOST:
                self.failures += failures
                raise
            said = self._again(counted, failures, partial(run, (*argv, *_LAST_FAILED)), results)
        else:
            self.counts[counted], _ = junit.read(results)
        return "; ".join([said.strip().rpartition("\n")[2].strip("= "), *junit.reasons(said)])

    def _again(self, counted: str, failed: list[Failure], run: Callable[[], str], results: Path) -> str:
        """Run failed tests again, one after the other. Those that pass now are told as unstable, with their failure."""
        before = self.counts[counted]
        try:
            return run()
        finally:
            again, failures = junit.read(results)
            self.counts[counted] = Count(before.passed + again.passed, again.failed, before.skipped)
            self.failures += failures
            still = {failure.test for failure in failures}
            self.unstable += [failure for failure in failed if failure.test not in still]

    def _summarise(self, results: list[Result], runner: Runner) -> None:
        """Print what ran, then what failed: so the end of a log tells which tests failed and why."""
        rows: list[tuple[object, ...]] = [("what ran", "result", "passed", "failed", "skipped", "seconds")]
        for result in results:
            of = self.counts[result.step.name]
            outcome = "FAILED" if result.failure else "ok"
            seconds = f"{result.seconds:.1f}"
            rows.append((result.step.name, outcome, of.passed, of.failed, of.skipped, seconds))
        runner.table(rows, numbers=range(2, 6))
        passed, failed, skipped = (
            sum(getattr(of, key) for of in self.counts.values()) for key in ("passed", "failed", "skipped")
        )
        runner.console.print(f"\n{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
        for heading, failures in (("FAILED", self.failures), ("UNSTABLE, passed when run again:", self.unstable)):
            for failure in failures:
                runner.say(f"\n{heading} {failure.test}\n  {failure.reason}")


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--gvisor", action="store_true")
    for group in ALONE:
        parser.add_argument(f"--{group}", action="store_true")
    parser.add_argument("--suite")


def chosen(options: argparse.Namespace) -> Mapping[str, Suite]:
    """The suites that the options name, by their names.

    Raises:
        StepFailed: none of them has the name that was asked for.
    """
    suites = {**SUITES["unit"], **SUITES["parts"]}
    if group := _alone(options):
        suites = SUITES[group]
    elif options.gvisor:
        suites = {"gVisor": replace(suites["gVisor"], environments=None)}
    if not options.suite:
        return suites
    if options.suite not in suites:
        names = ", ".join(f'"{name}"' for name in suites)
        raise StepFailed(f"there is no suite {options.suite!r} here.", f"Set SUITE to one of these: {names}.")
    return {options.suite: suites[options.suite]}


def _alone(options: argparse.Namespace) -> str | None:
    return next((group for group in ALONE if getattr(options, group)), None)


def run(options: argparse.Namespace, runner: Runner) -> int:
    suites, alone = chosen(options), _alone(options)
    needed = PROGRAMS[alone] if alone else {**PROGRAMS["unit"], **PROGRAMS["parts"]}
    preparation = Preparation(ENVIRONMENTS, clusters=alone == "cluster")
    programs = Step("Programs", preparation.compile_programs)
    runner.run([*preparation.steps(), programs, Step("Programs of the tests", partial(debian.ensure, needed))])
    tests = Tests(preparation)
    return tests.run([*([] if alone or options.suite else tests.checks()), *tests.suites(suites)], runner)


def _python(argv: Sequence[str], report: Report, environment: Mapping[str, str], message: str) -> str:
    # Each process of a suite would compile the tests again, with pytest's assertions: 2 s of a processor.
    kept = {"PYTHONDONTWRITEBYTECODE": None}
    fix = f"The whole output is in {report.log}. To run only this: .venv/bin/python -m {shlex.join(argv)}"
    with process.explained(message, fix, report):
        return process.run([sys.executable, "-m", *argv], report, environment={**kept, **environment})
