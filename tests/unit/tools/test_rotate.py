"""`make rotate`: what it refuses, and that no password is lost wherever it ends early."""

import argparse
import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from rich.console import Console

from tools.commands import rotate
from tools.commands.rotate import Rotation
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.paths import HOME
from tools.stack import passwords
from tools.stack.passwords import Keeper

KEY = "vps:grafanaPassword"
URLS = {"grafana": "https://grafana.example.com"}
Change = Callable[[httpx.Client, str, str], bool]


class FakeStack:
    """A stack's configuration, and the resources of its last deployment."""

    def __init__(self, configured: str, deployed: str | None = None) -> None:
        self.config = {KEY: configured}
        known = {"dashboardPassword": "edge", "grafanaPassword": deployed or configured}
        self.exported: dict[str, Any] = {"urls": URLS, "passwords": known}

    def secret(self, key: str, report: Report) -> str:
        return self.config[key]

    def set_secret(self, key: str, value: str, report: Report) -> None:
        self.config[key] = value

    def outputs(self, report: Report, show_secrets: bool) -> dict[str, Any]:
        return self.exported


class FakeGrafana:
    """A service that holds a password, and fails before or after it takes a new one, as the test says."""

    def __init__(self, password: str) -> None:
        self.password = password
        self.before: Exception | None = None
        self.after: BaseException | None = None

    def change(self, client: httpx.Client, old: str, new: str) -> bool:
        if self.before:
            raise self.before
        if old != self.password:
            return False
        self.password = new
        if self.after:
            raise self.after
        return True


@pytest.fixture
def grafana(monkeypatch: pytest.MonkeyPatch) -> FakeGrafana:
    made = FakeGrafana("old")
    monkeypatch.setattr(passwords, "KEEPERS", {"grafanaPassword": Keeper("grafana", made.change)})
    return made


def change(stack: Any, report: Report) -> str | None:
    rotation = Rotation("grafanaPassword")
    rotation.change(stack, None, report)
    return rotation.new


@pytest.mark.parametrize(
    ("secret", "stack", "fix"),
    [("cloudflareToken", "local", "Name one of dashboardPassword"), ("dashboardPassword", "nowhere", "local, prod")],
)
def test_a_secret_that_is_not_a_generated_password_is_refused(secret: str, stack: str, fix: str) -> None:
    with pytest.raises(StepFailed) as caught:
        rotate.run(argparse.Namespace(secret=secret, stack=stack), Runner(Console(), HOME / "logs"))
    assert fix in caught.value.fix


def test_the_service_and_the_config_get_the_same_new_password(grafana: FakeGrafana, report: Report) -> None:
    stack = FakeStack("old")
    new = change(stack, report)
    assert stack.config[KEY] == grafana.password == new != "old"


@pytest.mark.parametrize(("deployed", "held"), [("deployed", "deployed"), ("deployed", "old")])
def test_after_an_interrupted_rotation_both_passwords_are_tried(
    grafana: FakeGrafana, report: Report, deployed: str, held: str
) -> None:
    grafana.password = held
    stack = FakeStack("old", deployed)
    assert change(stack, report) == grafana.password == stack.config[KEY]


def test_the_config_has_the_password_before_the_service_does(grafana: FakeGrafana, report: Report) -> None:
    stack = FakeStack("old")
    grafana.after = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        change(stack, report)
    assert stack.config[KEY] == grafana.password != "old"


@pytest.mark.parametrize(
    "trouble",
    [
        httpx.ConnectError("refused"),
        httpx.HTTPStatusError("502", request=httpx.Request("PUT", URLS["grafana"]), response=httpx.Response(502)),
    ],
)
def test_when_the_service_refuses_the_old_password_stays_valid(
    grafana: FakeGrafana, report: Report, trouble: Exception
) -> None:
    stack = FakeStack("old")
    grafana.before = trouble
    with pytest.raises(StepFailed, match="did not accept a new password"):
        change(stack, report)
    assert stack.config[KEY] == grafana.password == "old"


def test_a_password_that_was_changed_by_hand_is_reported(grafana: FakeGrafana, report: Report) -> None:
    stack = FakeStack("old")
    grafana.password = "by hand"
    with pytest.raises(StepFailed) as caught:
        change(stack, report)
    assert "set it in the stack first" in caught.value.fix
    assert stack.config[KEY] == "old"


def test_a_lost_answer_loses_no_password(grafana: FakeGrafana, report: Report) -> None:
    stack = FakeStack("old")
    grafana.after = httpx.ReadTimeout("too late")
    with pytest.raises(StepFailed, match="may have taken"):
        change(stack, report)
    assert stack.config[KEY] == grafana.password
    grafana.after = None
    assert change(stack, report) == grafana.password


@pytest.mark.parametrize("outputs", [{}, {"urls": {}, "passwords": {"dashboardPassword": "edge"}}])
def test_a_service_that_does_not_run_has_no_password_to_change(
    grafana: FakeGrafana, report: Report, outputs: dict[str, Any]
) -> None:
    stack = FakeStack("old")
    stack.exported = outputs
    with pytest.raises(StepFailed, match="grafana does not run"):
        change(stack, report)
    assert stack.config[KEY] == "old"


@pytest.mark.parametrize(("fails", "said"), [(True, "not yet deployed"), (False, "The new password is deployed")])
def test_the_new_password_is_shown_also_where_the_deployment_failed(
    grafana: FakeGrafana, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fails: bool, said: str
) -> None:
    stack: Any = FakeStack("old")

    def deploy(report: Report) -> str:
        if fails:
            raise StepFailed("the host is away", "Run this again.")
        return "done"

    def steps(rotation: Rotation, *_: object) -> list[Step]:
        return [Step("Password", lambda report: rotation.change(stack, None, report)), Step("Deployment", deploy)]

    monkeypatch.setattr(rotate, "steps", steps)
    monkeypatch.setattr(rotate, "HOME", tmp_path)
    shown = io.StringIO()
    options = argparse.Namespace(secret="grafanaPassword", stack="prod")
    with pytest.raises(SystemExit, match="1") if fails else contextlib.nullcontext():
        rotate.run(options, Runner(Console(file=shown), tmp_path / "logs"))
    assert f"{grafana.password}\n" in shown.getvalue()
    assert said in shown.getvalue()
