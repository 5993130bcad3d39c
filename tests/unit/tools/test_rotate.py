"""What `make rotate` refuses, and how Grafana takes another password."""

import argparse
import json
from ipaddress import ip_address

import httpx
import pytest
from rich.console import Console

from tools.commands import rotate
from tools.paths import HOME
from tools.steps import Runner, StepFailed


@pytest.mark.parametrize(
    ("secret", "fix"), [("cloudflareToken", "Name one of dashboardPassword"), ("portainerPassword", "its own page")]
)
def test_what_is_not_ours_to_make_is_refused(secret: str, fix: str) -> None:
    with pytest.raises(StepFailed) as caught:
        rotate.run(argparse.Namespace(secret=secret), Runner(Console(), HOME / "logs"))
    assert fix in caught.value.fix


def test_grafana_is_asked_with_the_old_password() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"message": "User password changed"})

    with httpx.Client(base_url="http://grafana.localhost", transport=httpx.MockTransport(answer)) as client:
        rotate.change_grafana(client, "old", "new")
    (request,) = asked
    assert (request.method, request.url.path) == ("PUT", "/api/user/password")
    assert request.headers["authorization"] == httpx.BasicAuth("admin", "old")._auth_header
    assert json.loads(request.content) == {"oldPassword": "old", "newPassword": "new", "confirmNew": "new"}


def test_a_refusal_of_grafana_is_told() -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(401))
    with (
        httpx.Client(base_url="http://grafana.localhost", transport=transport) as client,
        pytest.raises(StepFailed, match="401"),
    ):
        rotate.change_grafana(client, "old", "new")


def test_grafana_is_reached_without_its_name_being_resolved() -> None:
    for address, host in {"127.0.0.1": "127.0.0.1", "::1": "[::1]"}.items():
        with rotate.grafana("http://grafana.localhost:8000", ip_address(address)) as client:
            assert str(client.base_url) == f"http://{host}:8000"
            assert client.headers["host"] == "grafana.localhost:8000"
