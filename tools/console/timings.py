"""The longest time of each step on this machine: an estimate for a machine where nothing is built yet."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from tools.console.steps import Result
from tools.paths import ROOT, cache


def record(results: Iterable[Result]) -> None:
    """Keep the longest successful run of each step."""
    longest = dict(longest_seconds())
    for result in results:
        if not result.failure:
            longest[result.step.name] = max(longest.get(result.step.name, 0.0), round(result.seconds, 1))
    partial = _file().with_suffix(".partial")
    partial.write_text(json.dumps(longest))
    partial.replace(_file())


def longest_seconds() -> Mapping[str, float]:
    """Seconds by step name; empty on a machine where nothing ran yet."""
    return _read(_file())


def environment_seconds() -> float:
    """How long the Python environment of this checkout took."""
    return _read(ROOT / ".venv" / "stamp.json").get("seconds", 0.0)


def _read(file: Path) -> dict[str, float]:
    try:
        content: dict[str, float] = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content


def _file() -> Path:
    return cache() / "timings.json"
