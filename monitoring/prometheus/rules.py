"""The recording rules and alerts of `rules/`: as files for Prometheus, and as data for documents and tests."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent / "rules"
TESTS = Path(__file__).parent / "tests"
_RUNBOOK = "runbook_url: "


@dataclass(frozen=True)
class Alert:
    """One alert. `wait` is how long its condition must hold (a PromQL duration), `runbook` a path in the repository."""

    name: str
    severity: str
    expr: str
    wait: str
    summary: str
    description: str
    runbook: str


def rule_files(runbooks: str = "") -> dict[str, str]:
    """The text of each rule file by its name.

    Args:
        runbooks: URL under which the repository's files are read, with its last slash. It goes before each
            `runbook_url`, which without it is a path in the repository.
    """
    return {file.name: file.read_text().replace(_RUNBOOK, _RUNBOOK + runbooks) for file in sorted(FOLDER.glob("*.yml"))}


def alerts() -> list[Alert]:
    """All alerts. An alert with two severities is listed twice."""
    return [
        Alert(
            name=rule["alert"],
            severity=rule["labels"]["severity"],
            expr=rule["expr"],
            wait=rule.get("for", "0s"),
            summary=rule["annotations"]["summary"],
            description=rule["annotations"]["description"],
            runbook=rule["annotations"]["runbook_url"],
        )
        for rule in _rules()
        if "alert" in rule
    ]


def recorded() -> dict[str, list[str]]:
    """The expressions of each recorded metric by its name."""
    found: dict[str, list[str]] = {}
    for rule in _rules():
        if "record" in rule:
            found.setdefault(rule["record"], []).append(rule["expr"])
    return found


def _rules() -> Iterator[dict[str, Any]]:
    for content in rule_files().values():
        for group in yaml.safe_load(content)["groups"]:
            yield from group["rules"]
