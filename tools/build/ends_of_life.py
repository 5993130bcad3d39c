"""A check of `make check`: how long the environments' interpreters are still maintained."""

import sys
from collections.abc import Iterable
from datetime import date, timedelta

from app.environments import ENVIRONMENTS, Environment

AHEAD = timedelta(days=183)
"""Half a year: time to change to another release before this one ends."""


def ending(environments: Iterable[Environment], today: date) -> dict[str, date]:
    """The end of life of each environment that reaches it within half a year, or has passed it, by its name."""
    return {it.name: it.release.end_of_life for it in environments if it.release.end_of_life - today < AHEAD}


def main(today: date) -> int:
    """Print one line, and return the exit code: 1 when an end of life has passed."""
    found = ending(ENVIRONMENTS.values(), today)
    passed = [name for name, end in found.items() if end < today]
    ends = ", ".join(f"{name} {ENVIRONMENTS[name].release.version} on {end}" for name, end in found.items())
    advice = "change app/environments.toml and its image to a later release"
    print(f"WARNING: end of life of {ends}: {advice}" if found else "none within half a year")
    return 1 if passed else 0


if __name__ == "__main__":
    sys.exit(main(date.today()))
