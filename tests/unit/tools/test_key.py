"""`make key`: what it writes into the config, and what it shows."""

import argparse
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from app.api.settings import Key
from tools.commands import key
from tools.console.steps import Report, Runner, StepFailed
from tools.stack import target

OLD, NEW, NEWEST = (f"sha256:{digit * 64}" for digit in "012")


@pytest.mark.parametrize(
    ("secrets", "written"),
    [
        ([OLD], {"secrets[0]": OLD, "secrets[1]": NEWEST}),
        ([OLD, NEW], {"secrets[0]": NEW, "secrets[1]": NEWEST}),
    ],
)
def test_a_key_has_its_latest_two_secrets(secrets: list[str], written: dict[str, str]) -> None:
    keys = [Key(name="other", secrets=(NEWEST[:-1] + "3",)), Key(name="site", secrets=tuple(secrets))]
    expected = {f"vps:platform.sandbox.keys[1].{path}": value for path, value in written.items()}
    assert key.paths(keys, "site", NEWEST) == expected
    added = {"vps:platform.sandbox.keys[2].name": "new", "vps:platform.sandbox.keys[2].secrets[0]": NEWEST}
    assert key.paths(keys, "new", NEWEST) == added


class FakeStack:
    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def set_values(self, values: Mapping[str, str], file: Path, report: Report) -> None:
        assert file.name == "Pulumi.local.yaml"
        self.values |= values


def make(name: str, monkeypatch: pytest.MonkeyPatch, folder: Path) -> tuple[FakeStack, str]:
    """The stack after `make key`, and its output."""
    stack: Any = FakeStack()
    monkeypatch.setattr(target, "stack", lambda *_: stack)
    monkeypatch.setattr(key, "HOME", folder)
    shown = io.StringIO()
    runner = Runner(Console(file=shown, width=200), folder)
    key.run(argparse.Namespace(stack="local", name=name), runner)
    return stack, shown.getvalue()


def test_the_secret_is_shown_and_its_hash_is_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stack, shown = make("site", monkeypatch, tmp_path)
    (secret,) = [line.rpartition(" ")[2] for line in shown.splitlines() if "shown only now" in line]
    assert len(secret) > 40
    assert stack.values == {
        "vps:platform.sandbox.keys[0].name": "site",
        "vps:platform.sandbox.keys[0].secrets[0]": f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}",
    }
    assert not [file for file in tmp_path.rglob("*") if file.is_file() and secret in file.read_text()]


@pytest.mark.parametrize("name", ["", "Site", "1", "true", "a b", "x" * 33])
def test_a_name_that_names_no_key_is_refused(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(StepFailed, match="can't name a key"):
        make(name, monkeypatch, tmp_path)
