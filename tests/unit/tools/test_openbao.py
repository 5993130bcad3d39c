"""What `make secret`, `make key` and `make rotate` give to OpenBao's keeper."""

import contextlib
import json
from types import SimpleNamespace
from typing import Any

import pytest

from infra.config import parse_settings
from tests.program import platform_config
from tools.console.steps import Report, StepFailed
from tools.stack import health, openbao, target

ON = {"openbao": {"enabled": True}, "alertmanager": {"enabled": True, "webhook": True}}
HOOK = "https://hook.example.com"


class FakeKeeper:
    """The keeper's container, whose program ends like this."""

    def __init__(self, code: int, said: bytes) -> None:
        self.code, self.said = code, said
        self.given: dict[str, dict[str, str]] = {}

    def exec_run(self, command: list[str], environment: dict[str, str]) -> tuple[int, bytes]:
        assert command == ["python", "-m", "app.keeper", "change"]
        self.given = json.loads(environment["KEEPER_CHANGED"])
        return self.code, self.said


def give(
    keeper: FakeKeeper | None, services: dict[str, Any], values: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> str:
    settings = parse_settings(platform_config("prod", services=services), "prod")
    engine = SimpleNamespace(client=lambda: SimpleNamespace(containers=SimpleNamespace(get=lambda _: keeper)))
    states = [health.ServiceState("keeper", "x", "healthy", "x")] if keeper else []
    monkeypatch.setattr(target, "settings", lambda _: settings)
    monkeypatch.setattr(target, "docker", lambda *_: contextlib.nullcontext(engine))
    monkeypatch.setattr(health, "services", lambda *_: states)
    report: Any = Report
    return openbao.give("prod", values, report)


def test_a_service_gets_the_text_of_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    keeper = FakeKeeper(0, b"alertmanager\n")
    assert "so has alertmanager" in give(keeper, ON, {"alert_webhook_url": HOOK}, monkeypatch)
    assert keeper.given == {"alertmanager": {"alert_webhook_url": HOOK}}
    give(keeper, ON, {"dashboard_password": "new"}, monkeypatch)
    assert keeper.given["traefik"]["users"].startswith("admin:$2b$")


@pytest.mark.parametrize(
    ("keeper", "services", "name"),
    [
        (FakeKeeper(0, b"x"), {}, "alert_webhook_url"),
        (FakeKeeper(0, b"x"), ON, "alert_slack_url"),
        (FakeKeeper(0, b"x"), ON, "openbao_seal_key"),
        (FakeKeeper(0, b"\n"), ON, "alert_webhook_url"),
        (None, ON, "alert_webhook_url"),
    ],
)
def test_up_does_what_the_keeper_can_not(
    keeper: FakeKeeper | None, services: dict[str, Any], name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert give(keeper, services, {name: HOOK}, monkeypatch) == "`make up STACK=prod` puts it in force."


def test_what_openbao_refuses_is_told_with_what_is_left_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StepFailed, match="OpenBao has not: it is sealed") as caught:
        give(FakeKeeper(1, b"it is sealed"), ON, {"alert_webhook_url": HOOK}, monkeypatch)
    assert "make up STACK=prod" in caught.value.fix
