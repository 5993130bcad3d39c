"""Stand-ins for the programs and services that the tools drive."""

import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from tools.console.steps import Report

Program = Callable[[str, str], Path]


@pytest.fixture
def report(tmp_path: Path) -> Report:
    return Report(tmp_path / "logs" / "step.log")


@pytest.fixture
def program(tmp_path: Path) -> Program:
    """Makes an executable shell script in a folder of its own: `program(name, body)`."""

    def make(name: str, body: str) -> Path:
        file = tmp_path / "bin" / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\n{body}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)
        return file

    return make


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test touches the machine's cache."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "vps"
