import functools
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import docker
import pytest

from tools.console.steps import Report, StepFailed
from tools.stack import health


def container(
    service: str, status: str = "running", check: str | None = "healthy", start: Callable[[], None] = lambda: None
) -> Any:
    state = {"Status": status} | ({"Health": {"Status": check}} if check else {})
    labels = {"vps.service": service}
    attributes = {"Name": f"/vps-{service}", "State": state, "Config": {"Labels": labels, "Image": "sha256:1"}}
    return SimpleNamespace(attrs=attributes, logs=lambda tail: f"{service} can't go on\n".encode(), start=start)


def engine(*containers: Any) -> Any:
    by_name = {it.attrs["Name"].lstrip("/"): it for it in containers}
    collection = SimpleNamespace(list=lambda **_: list(containers), get=by_name.__getitem__)
    return SimpleNamespace(client=lambda: SimpleNamespace(containers=collection))


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "SECONDS_TO_BE_HEALTHY", 0)
    monkeypatch.setattr(time, "sleep", lambda seconds: None)


def wait(engine: Any, report: Report) -> str:
    return health.wait(engine, "vps-trial", "http://localhost:1", report)


def test_healthy_services_and_an_answer_end_the_wait(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "api_refusal", lambda url: None)
    assert wait(engine(container("api"), container("bare", check=None)), report).startswith("2 services healthy")


@pytest.mark.parametrize(
    ("bad", "named"),
    [
        (container("api", check="starting"), "api is starting"),
        (container("api", check="unhealthy"), "api is unhealthy"),
        (container("api", status="restarting"), "api is restarting"),
        (container("api", status="exited"), "api is exited"),
    ],
)
def test_an_unhealthy_service_is_named_with_the_end_of_its_log(report: Report, bad: Any, named: str) -> None:
    with pytest.raises(StepFailed, match=named):
        wait(engine(bad), report)
    assert "api can't go on" in report.log.read_text()


def test_an_api_that_does_not_answer_through_the_edge_is_named(report: Report) -> None:
    with pytest.raises(StepFailed, match="no answer at http://localhost:1"):
        wait(engine(container("api")), report)


def test_a_stack_without_services_is_a_failure(report: Report) -> None:
    with pytest.raises(StepFailed, match="no service is there yet"):
        wait(engine(), report)


def test_services_that_were_stopped_are_started_and_no_others() -> None:
    started: list[str] = []
    services = [
        container(name, status=status, start=functools.partial(started.append, name))
        for name, status in {"loki": "exited", "api": "exited", "traefik": "running", "jaeger": "restarting"}.items()
    ]
    assert health.start_stopped(engine(*services), "vps-trial") == "started what was stopped: api, loki"
    assert started == ["api", "loki"]
    assert health.start_stopped(engine(container("api")), "vps-trial") == ""


def test_a_stopped_service_that_docker_cannot_start_is_named_with_the_reason() -> None:
    def refuse() -> None:
        raise docker.errors.APIError("500", explanation="the port is taken")

    with pytest.raises(StepFailed, match=r"api was stopped.*the port is taken"):
        health.start_stopped(engine(container("api", status="exited", start=refuse)), "vps-trial")
