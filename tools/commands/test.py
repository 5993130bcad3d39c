"""`make test`: lint, types and every suite, on real parts; a summary of what ran comes last."""

import argparse
import contextlib
import json
import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

from rich.text import Text

from tools.console import columns
from tools.console.steps import EXIT_FAILED, Report, Result, Runner, Step, StepFailed
from tools.machine import debian, process
from tools.machine.preparation import Preparation

CHECKS = {
    "Lint": ("ruff", "check", "."),
    "Format": ("ruff", "format", "--check", "."),
    "Types": ("mypy",),
    "Spelling": ("codespell_lib",),
}
# What tests run beside the platform, and the Debian package that has it.
PROGRAMS = {
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
    "docker-registry": "docker-registry",
    "pebble": "pebble",
    "redis-check-rdb": "redis-tools",
    "shellcheck": "shellcheck",
}
_GVISOR = "runsc"


@dataclass(frozen=True)
class Suite:
    """What runs in one go: paths below tests/.

    Sandboxes are of these environments (None: all), and of `runtime` (None: the fastest that the engine knows). Tests
    of another environment, named so by their parameter, are left out.
    """

    paths: tuple[str, ...]
    environments: tuple[str, ...] | None = None
    runtime: str | None = None

    def images(self, images: Mapping[str, str]) -> dict[str, str]:
        """Those of the suite's environments."""
        return {name: image for name, image in images.items() if self.environments is None or name in self.environments}

    def selection(self, environments: Iterable[str]) -> tuple[str, ...]:
        """The arguments that make pytest leave out what is not the suite's, when there are these environments."""
        out = [f"not [{name}]" for name in environments if self.environments and name not in self.environments]
        return ("-k", " and ".join(out)) if out else ()


# The attacks, and those limits that gVisor holds in place of the host's kernel, or that must hold gVisor too.
UNDER_GVISOR = (
    "sandbox/attacks",
    "sandbox/test_interpreters.py::test_running_out_of_processes_is_its_own_status",
    *(
        f"sandbox/test_limits.py::test_{name}"
        for name in ("half_a_core", "processes_are_counted", "threads_are_counted")
    ),
)
SUITES = {
    "no parts": Suite(("unit", "policies", "workflows")),
    "real parts": Suite(("monitoring", "sandbox", "fuzz", "stack", "vps", "page")),
    # Each attack once: seen to take 75 seconds, and from all environments four minutes with two busy cores.
    "gVisor": Suite(UNDER_GVISOR, ("python",), _GVISOR),
}
WHOLE_GVISOR = {"gVisor": Suite(UNDER_GVISOR, ("python", "node", "bash"), _GVISOR)}
# Two files at once, each in its own order: tests wait for the engine, for health checks and for deadlines, more than
# for a processor.
BESIDE = ("--numprocesses=2", "--dist=loadfile")


@dataclass(frozen=True)
class Count:
    """How many tests passed, failed and were skipped. A check that is no suite counts as one test."""

    passed: int
    failed: int
    skipped: int = 0


@dataclass(frozen=True)
class Failure:
    """A test that failed: its name, and in one line where and what was said."""

    test: str
    reason: str


class _Tests:
    """The steps after the preparation, and what each came to."""

    def __init__(self, preparation: Preparation, suites: Mapping[str, Suite]) -> None:
        self._preparation = preparation
        self._suites = suites
        self.counts: dict[str, Count] = {}
        self.failures: list[Failure] = []

    def steps(self) -> list[Step]:
        checks = [Step(name, partial(self._check, name)) for name in CHECKS]
        suites = [Step(f"Tests: {name}", partial(self._suite, name, suite)) for name, suite in self._suites.items()]
        return checks + suites

    def _check(self, name: str, report: Report) -> str:
        self.counts[name] = Count(0, 1)
        said = _python(CHECKS[name], report, {}, f"{name} found something.")
        self.counts[name] = Count(1, 0)
        return said.strip().rpartition("\n")[2]

    def _suite(self, name: str, suite: Suite, report: Report) -> str:
        results = report.log.with_suffix(".xml")
        results.unlink(missing_ok=True)
        images = self._preparation.images.sandboxes()
        sandboxes = {
            "VPS_SANDBOX_IMAGES": json.dumps(suite.images(images)),
            "VPS_SANDBOX_RUNTIME": suite.runtime or self._preparation.engine.runtime(),
        }
        paths = [f"tests/{path}" for path in suite.paths]
        argv = ("pytest", *paths, *suite.selection(images), *BESIDE, f"--junitxml={results}", "--color=no", "-rs")
        try:
            said = _python(argv, report, sandboxes, f"Tests with {name} failed.")
        finally:
            self.counts[f"Tests: {name}"] = count(results)
            self.failures += failures(results)
        return "; ".join([said.strip().rpartition("\n")[2].strip("= "), *reasons(said)])


def reasons(said: str) -> list[str]:
    """Why tests were skipped, by what pytest says with `-rs`: each reason once."""
    return sorted({line.split(": ", 1)[1] for line in said.splitlines() if line.startswith("SKIPPED [")})


def count(results: Path) -> Count:
    """The totals of a JUnit file. A suite that left none, or ran nothing, counts as one failure."""
    if not results.exists():
        return Count(0, 1)
    suites = _parse(results).iter("testsuite")
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        for key in totals:
            totals[key] += int(suite.get(key, 0))
    failed = totals["failures"] + totals["errors"]
    if not totals["tests"]:
        return Count(0, 1)
    return Count(totals["tests"] - failed - totals["skipped"], failed, totals["skipped"])


def failures(results: Path) -> list[Failure]:
    """The tests that failed, by a JUnit file; none when there is no file."""
    cases = _parse(results).iter("testcase") if results.exists() else ()
    return [
        Failure("::".join(filter(None, (case.get("classname"), case.get("name")))), _reason(entry.text or ""))
        for case in cases
        for entry in case
        if entry.tag in ("failure", "error")
    ]


def _reason(text: str) -> str:
    """Pytest puts an E before what was said, and ends with `<place>: <kind>`, or with what was said of an import."""
    lines = text.strip().splitlines() or ["nothing was said"]
    said = next((line[1:].strip() for line in lines if line.startswith("E ")), None)
    if said is None or lines[-1].startswith("E "):
        return said or lines[-1]
    return f"{lines[-1].rpartition(': ')[0]}: {said}"


def _parse(results: Path) -> ElementTree.Element:
    return ElementTree.parse(results).getroot()  # noqa: S314 - pytest wrote it just now


def _find_programs(report: Report) -> str:
    """A browser, a registry, an authority, a store, a linter of shell scripts; and gVisor, where it can be had."""
    if missing := [program for program in PROGRAMS if not shutil.which(program)]:
        if not debian.may_install():
            raise StepFailed(f"The tests need {', '.join(missing)} on PATH.", "Install them, then run this again.")
        debian.install([PROGRAMS[program] for program in missing], report)
    if not shutil.which(_GVISOR) and debian.may_install():
        # Not every distribution has it. Its suite says then that it is skipped, and why.
        with contextlib.suppress(StepFailed):
            debian.install([_GVISOR], report)
    return ", ".join((*PROGRAMS, *filter(shutil.which, (_GVISOR,))))


def run(options: argparse.Namespace, runner: Runner) -> int:
    preparation = Preparation()
    programs = Step("Programs", preparation.compile_programs)
    ready = runner.run([*preparation.steps(), programs, Step("Programs of the tests", _find_programs)])
    if ready[-1].failure:
        return EXIT_FAILED
    tests = _Tests(preparation, WHOLE_GVISOR if options.gvisor else SUITES)
    results = runner.run(tests.steps(), keep_going=True)
    _summarise(results, tests, runner)
    return EXIT_FAILED if any(result.failure for result in results) else 0


def _python(argv: tuple[str, ...], report: Report, environment: Mapping[str, str], message: str) -> str:
    try:
        return process.run([sys.executable, "-m", *argv], report, environment=environment)
    except process.CommandFailed as error:
        fix = f"The whole output is in {report.log}. Again, only this: .venv/bin/python -m {shlex.join(argv)}"
        raise StepFailed(message, fix, report.log) from error


def _summarise(results: list[Result], tests: _Tests, runner: Runner) -> None:
    """What ran, then what failed: whoever sees only the end of a log still reads which test it was, and why."""
    rows = [("what ran", "result", "passed", "failed", "skipped", "seconds")]
    for result in results:
        of = tests.counts[result.step.name]
        outcome = "FAILED" if result.failure else "ok"
        seconds = f"{result.seconds:.1f}"
        rows.append((result.step.name, outcome, str(of.passed), str(of.failed), str(of.skipped), seconds))
    runner.console.print()
    columns.show(runner.console, rows, numbers=range(2, 6))
    passed, failed, skipped = (
        sum(getattr(of, key) for of in tests.counts.values()) for key in ("passed", "failed", "skipped")
    )
    runner.console.print(f"\n{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    for failure in tests.failures:
        runner.console.print(Text(f"\nFAILED {failure.test}\n  {failure.reason}"), soft_wrap=True)
