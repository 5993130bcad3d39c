"""Reads the results of tests from pytest's JUnit file and its output."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

_CAUSED = "The above exception was the direct cause of the following exception:"


@dataclass(frozen=True)
class Count:
    """How many tests passed, failed and were skipped. A check that runs no tests counts as one."""

    passed: int
    failed: int
    skipped: int = 0


@dataclass(frozen=True)
class Failure:
    """A test that failed: its name, and one line with the place and the message."""

    test: str
    reason: str


def reasons(said: str) -> list[str]:
    """The reasons why tests were skipped, each once, from pytest's output with `-rs`."""
    return sorted({line.split(": ", 1)[1] for line in said.splitlines() if line.startswith("SKIPPED [")})


def read(results: Path) -> tuple[Count, list[Failure]]:
    """The totals of a JUnit file, and its failed tests. A missing file, or one without tests, counts as one failure."""
    if not results.exists():
        return Count(0, 1), []
    root = ElementTree.parse(results).getroot()  # noqa: S314 - pytest wrote it just now
    suites = list(root.iter("testsuite"))
    tests, *broken, skipped = (
        sum(int(suite.get(key, 0)) for suite in suites) for key in ("tests", "failures", "errors", "skipped")
    )
    failures = [
        Failure("::".join(filter(None, (case.get("classname"), case.get("name")))), _reason(entry.text or ""))
        for case in root.iter("testcase")
        for entry in case
        if entry.tag in ("failure", "error")
    ]
    return Count(tests - sum(broken) - skipped, sum(broken), skipped) if tests else Count(0, 1), failures


def _reason(text: str) -> str:
    """One line from pytest's text of a failure. Its messages begin with E; the last line is `<place>: <kind>`, or the
    message of a failed import. An exception stands behind the one that caused it."""
    lines = text.rpartition(_CAUSED)[2].strip().splitlines() or ["nothing was said"]
    said = next((line[1:].strip() for line in lines if line.startswith("E ")), None)
    if said is None or lines[-1].startswith("E "):
        return said or lines[-1]
    return f"{lines[-1].rpartition(': ')[0]}: {said}"
