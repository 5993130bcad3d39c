"""One stack from up to destroy: used, changed, drifted. The tests build on each other, in order."""

import dataclasses
import hashlib
import json
import re
import socket
import time
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from app.environments import DEFAULT_ENVIRONMENTS, ENVIRONMENTS, VARIANTS
from app.wire.problems import Problem
from tests.stacks import StackFactory
from tools.console.steps import Report, StepFailed
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack import docker_objects, health
from tools.stack.config import ONLY_CORE
from tools.stack.local_stack import Stack
from tools.stack.pulumi_stack import changes


@pytest.fixture(scope="module")
def port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def stack(new_stack: StackFactory, prepared: Preparation, report: Report, port: int) -> Stack:
    """The stack, up and healthy."""
    made = new_stack(edge={"http_port": port}, services=_services(scrape_seconds=1))
    made.up(report)
    health.wait(prepared.engine, made.prefix, f"http://localhost:{port}", report)
    return made


@pytest.fixture(scope="module")
def edge(stack: Stack, port: int) -> httpx.Client:
    """A client of the edge. Requests choose the host by header, since a resolver may not know `*.localhost`."""
    return httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=40, trust_env=False)


@pytest.fixture(scope="module")
def password(stack: Stack, report: Report) -> str:
    return stack.secret("vps:dashboardPassword", report)


def container_ids(stack: Stack, prepared: Preparation) -> dict[str, str]:
    """The id of each running container by its name."""
    label = f"vps.stack={stack.prefix}"
    running = prepared.engine.client().containers.list(filters={"label": label}, sparse=True)
    return {container.attrs["Names"][0].removeprefix(f"/{stack.prefix}-"): str(container.id) for container in running}


@pytest.mark.parametrize("environment", DEFAULT_ENVIRONMENTS)
def test_a_visitors_code_runs_in_each_environment(edge: httpx.Client, environment: str) -> None:
    answer = edge.post("/execute", json={"environment": environment, "code": ENVIRONMENTS[environment].hello})
    assert answer.status_code == httpx.codes.OK
    body = answer.json()
    assert (body["status"], body["output"], body["environment"]) == (
        "success",
        "Hello, World!\n",
        environment,
    )
    assert body["execution_id"]
    assert body["error"] is None
    assert body["execution_time"] > 0


SLOW = "echo first; sleep 1; echo second"


def test_output_comes_through_the_edge_as_it_is_produced(edge: httpx.Client) -> None:
    body = {"environment": "bash", "code": SLOW}
    with edge.stream("POST", "/execute", json=body, headers={"Accept": "text/event-stream"}) as answer:
        seen = [(time.monotonic(), line) for line in answer.iter_lines() if line.startswith("data: ")]
    (first,), (second,) = ([at for at, line in seen if f'"data":"{word}' in line] for word in ("first", "second"))
    assert second - first > 0.5


def test_a_websocket_comes_through_the_edge(edge: httpx.Client) -> None:
    with connect(f"ws://{edge.base_url.netloc.decode()}/execute/stream") as socket:
        socket.send(json.dumps({"type": "start", "environment": "bash", "code": "read x; echo $x"}))
        socket.send(json.dumps({"type": "stdin", "data": "hello\n"}))
        *_, last = (json.loads(frame) for frame in socket)
    assert (last["type"], last["output"]) == ("result", "hello\n")


def test_the_api_describes_itself(edge: httpx.Client) -> None:
    assert edge.get("/health").json()["engine"] == "reachable"
    versions = {entry["name"]: entry["version"] for entry in edge.get("/environments").json()["environments"]}
    assert set(versions) == {*DEFAULT_ENVIRONMENTS, *VARIANTS}
    assert all(versions.values())
    assert edge.get("/stats").json()["executions"]["python"] == {"success": 1}


def test_answers_carry_the_security_headers(edge: httpx.Client) -> None:
    headers = edge.get("/health").headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["referrer-policy"] == "no-referrer"
    assert "server" not in headers


@pytest.mark.parametrize(
    ("service", "path"), [("traefik", "/dashboard/"), ("traefik", "/api/rawdata"), ("prometheus", "/api/v1/targets")]
)
def test_dashboards_ask_for_the_password(edge: httpx.Client, password: str, service: str, path: str) -> None:
    host = {"host": f"{service}.localhost"}
    assert edge.get(path, headers=host).status_code == httpx.codes.UNAUTHORIZED
    assert edge.get(path, headers=host, auth=("admin", "guess")).status_code == httpx.codes.UNAUTHORIZED
    assert edge.get(path, headers=host, auth=("admin", password)).status_code == httpx.codes.OK


def test_an_unknown_host_reaches_nothing(edge: httpx.Client) -> None:
    assert edge.get("/", headers={"host": "elsewhere.example.com"}).status_code == httpx.codes.NOT_FOUND
    assert edge.get("/metrics").status_code == httpx.codes.NOT_FOUND


def test_prometheus_scrapes_every_target(edge: httpx.Client, password: str) -> None:
    def health_by_job() -> dict[str, str]:
        answer = edge.get("/api/v1/targets", headers={"host": "prometheus.localhost"}, auth=("admin", password))
        return {target["labels"]["job"]: target["health"] for target in answer.json()["data"]["activeTargets"]}

    wanted = {"prometheus": "up", "traefik": "up", "api": "up", "executor": "up"}
    deadline = time.monotonic() + 15
    while health_by_job() != wanted and time.monotonic() < deadline:
        time.sleep(0.5)
    assert health_by_job() == wanted


def test_the_eleventh_request_of_a_minute_is_refused(edge: httpx.Client) -> None:
    # The edge replaces the header of a client, so a forged address makes no difference.
    answers = [
        edge.post(
            "/execute",
            json={"environment": "bash", "code": "true"},
            headers={"x-forwarded-for": f"198.51.100.{number}"},
        )
        for number in range(11)
    ]
    refused = [answer for answer in answers if answer.status_code == httpx.codes.TOO_MANY_REQUESTS]
    assert refused
    assert answers[-1] in refused
    assert int(refused[0].headers["retry-after"]) > 0
    assert refused[0].json()["code"] == "rate_limited"


def test_a_flood_is_refused_by_the_edge_with_a_problem(edge: httpx.Client) -> None:
    answers = (edge.get("/") for _ in range(3000))
    refused = next(answer for answer in answers if answer.status_code != httpx.codes.OK)
    assert _problem(refused) == (httpx.codes.TOO_MANY_REQUESTS, "rate_limited")
    assert int(refused.headers["retry-after"]) == refused.json()["retry_after"] == 1
    assert refused.headers["x-frame-options"] == "DENY"


def test_outputs_name_the_secrets_and_never_their_values(stack: Stack, password: str, report: Report) -> None:
    outputs = stack.outputs(report)
    assert outputs["logins"]["prometheus"] == {"user": "admin", "secret": "dashboardPassword"}
    assert set(outputs["urls"]) >= {"api", "traefik", "prometheus"}
    assert password not in str(outputs)
    # The passwords are shown only on request.
    assert stack.outputs(report, show_secrets=True)["passwords"]["dashboardPassword"] == password


def test_no_secret_is_readable_in_the_state(stack: Stack, password: str) -> None:
    files = [path for path in stack.home.rglob("*") if path.is_file()]
    assert len(files) > 3
    assert not [path for path in files if password.encode() in path.read_bytes()]


def test_a_second_up_changes_nothing(stack: Stack, prepared: Preparation, report: Report) -> None:
    before = container_ids(stack, prepared)
    assert re.fullmatch(r"\d+ unchanged", changes(stack.up(report)))
    assert container_ids(stack, prepared) == before
    assert not stack.has_drifted(report)


def test_a_changed_setting_replaces_only_its_own_container_and_keys_none(
    stack: Stack, prepared: Preparation, report: Report, edge: httpx.Client, port: int
) -> None:
    before = container_ids(stack, prepared)
    changed = _with_scrape_interval(stack, 2, keys=("old", "new"))
    changed.configure(prepared.images, report)
    changed.up(report)
    after = container_ids(stack, prepared)
    assert {service for service in before if before[service] != after.get(service)} == {"prometheus"}
    health.wait(prepared.engine, stack.prefix, f"http://localhost:{port}", report)
    hello = {"environment": "bash", "code": "true"}
    answers = [
        edge.post("/execute", json=hello, headers={"Authorization": f"Bearer {it}"}) for it in ("old", "new", "none")
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 401]


def test_a_container_removed_by_hand_is_noticed_and_comes_back(
    stack: Stack, prepared: Preparation, report: Report, edge: httpx.Client
) -> None:
    (api,) = [name for name in container_ids(stack, prepared) if name.startswith("api-")]
    prepared.engine.client().containers.get(f"{stack.prefix}-{api}").remove(force=True)
    away = edge.get("/health")
    assert _problem(away) == (httpx.codes.BAD_GATEWAY, "bad_gateway")
    assert int(away.headers["retry-after"]) == away.json()["retry_after"]
    assert stack.has_drifted(report)
    stack.mend(report)
    stack.up(report)
    health.wait(prepared.engine, stack.prefix, str(edge.base_url), report)
    assert edge.post("/execute", json={"environment": "bash", "code": "echo back"}).json()["output"] == "back\n"


def test_destroy_leaves_nothing_but_data(stack: Stack, prepared: Preparation, report: Report) -> None:
    stack.destroy(report)
    found = docker_objects.find(prepared.engine.client(), stack.prefix)
    assert found.names == []
    assert found.volumes == (f"{stack.prefix}-prometheus-data",)


def test_the_next_up_finds_the_data_again_and_completes_one_that_failed_on_a_port_in_use(
    stack: Stack, prepared: Preparation, report: Report, port: int
) -> None:
    client = prepared.engine.client()
    created = client.volumes.get(f"{stack.prefix}-prometheus-data").attrs["CreatedAt"]
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StepFailed):
        stack.up(report)
    stack.mend(report)
    stack.up(report)
    assert client.volumes.get(f"{stack.prefix}-prometheus-data").attrs["CreatedAt"] == created
    stack.destroy(report)
    assert docker_objects.find(client, stack.prefix).names == []


def _problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem document that the edge has written."""
    assert answer.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(answer.content)
    assert found.status == answer.status_code
    return found.status, found.code


def _with_scrape_interval(stack: Stack, seconds: int, keys: Sequence[str]) -> Stack:
    """The stack with a key that has these secrets, too."""
    hashes = [f"sha256:{hashlib.sha256(it.encode()).hexdigest()}" for it in keys]
    overrides: dict[str, Any] = {
        **stack.overrides,
        "services": _services(scrape_seconds=seconds),
        "sandbox": {"keys": [{"name": "site", "secrets": hashes}]},
    }
    return dataclasses.replace(stack, overrides=overrides)


def _services(scrape_seconds: int) -> dict[str, Any]:
    """Prometheus as the only optional service: the others have tests of their own."""
    return {**ONLY_CORE, "prometheus": {"scrape_seconds": scrape_seconds}}
