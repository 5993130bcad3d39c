"""The results of tests, by the JUnit file and the output of pytest."""

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree


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
