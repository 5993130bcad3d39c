"""Reads the results of tests from pytest's JUnit file and its output."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


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


def count(results: Path) -> Count:
    """The totals of a JUnit file. A missing file, or one without tests, counts as one failure."""
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
    """The failed tests in a JUnit file; none when there is no file."""
    cases = _parse(results).iter("testcase") if results.exists() else ()
    return [
        Failure("::".join(filter(None, (case.get("classname"), case.get("name")))), _reason(entry.text or ""))
        for case in cases
        for entry in case
        if entry.tag in ("failure", "error")
    ]


def _reason(text: str) -> str:
    """One line from pytest's text of a failure. Its messages begin with E; the last line is `<place>: <kind>`, or the
    message of a failed import."""
    lines = text.strip().splitlines() or ["nothing was said"]
    said = next((line[1:].strip() for line in lines if line.startswith("E ")), None)
    if said is None or lines[-1].startswith("E "):
        return said or lines[-1]
    return f"{lines[-1].rpartition(': ')[0]}: {said}"


def _parse(results: Path) -> ElementTree.Element:
    return ElementTree.parse(results).getroot()  # noqa: S314 - pytest wrote it just now
