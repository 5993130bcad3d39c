"""`make secret`: what it reads, what it refuses, and where it puts it."""

import argparse
import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tools.commands import secret
from tools.console.steps import Report, Runner, StepFailed
from tools.stack import target


class FakeStack:
    def __init__(self) -> None:
        self.secrets: dict[str, str] = {}

    def set_secret(self, key: str, value: str, report: Report) -> None:
        self.secrets[key] = value


def make(key: str, typed: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[dict[str, str], str]:
    """The stack's secrets after `make secret`, and its output."""
    stack: Any = FakeStack()
    monkeypatch.setattr(target, "stack", lambda *_: stack)
    monkeypatch.setattr(secret, "HOME", folder)
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    shown = io.StringIO()
    secret.run(argparse.Namespace(stack="prod", key=key), Runner(Console(file=shown, width=200), folder))
    return stack.secrets, shown.getvalue()


def test_the_standard_input_becomes_the_secret_and_is_not_shown(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    secrets, shown = make("backupPassword", "correct horse\n", monkeypatch, tmp_path)
    assert secrets == {"vps:backupPassword": "correct horse"}
    assert "make up STACK=prod" in shown
    assert "horse" not in shown


@pytest.mark.parametrize(
    ("key", "typed", "message"),
    [("backupPasword", "x", "is no secret.*"), ("backupPassword", "\n", "The standard input is empty")],
)
def test_an_unknown_key_and_an_empty_secret_are_refused(
    key: str, typed: str, message: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(StepFailed, match=message):
        make(key, typed, monkeypatch, tmp_path)
