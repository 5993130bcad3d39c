"""The public interface in front of a fake executor."""

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator

import httpx
import pytest

from app.api.executions import Executions
from app.profile import FLOOR
from app.wire.problems import Code, Problem
from tests.unit.app.fake_executor import ENVIRONMENTS, RESULT, Answer, FakeExecutor, refuses, says
from tests.unit.app.fake_visitor import api

pytestmark = pytest.mark.anyio

PROXY = "172.20.0.9"
JSON = {"Content-Type": "application/json"}
HELLO = {"environment": "python", "code": "print('secret words')"}


def problem(response: httpx.Response) -> Problem:
    assert response.headers["content-type"] == "application/problem+json"
    found = Problem.model_validate_json(response.content)
    assert found.status == response.status_code
    return found


async def test_code_that_fails_is_answered_with_200(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.post("/execute", json=HELLO)
    assert response.status_code == 200
    assert response.json() == RESULT


async def test_only_the_executions_fields_reach_the_executor(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        await client.post("/execute", json={**HELLO, "args": ["a"]}, headers={"X-Image": "evil"})
    nothing = {"files": None, "main": None, "stdin": "", "timeout": None, "results": None, "terminal": None}
    assert executor.ran == [{**HELLO, "args": ["a"], **nothing, "packages": [], "merge": False}]


@pytest.mark.parametrize(
    ("body", "status", "code", "words"),
    [
        (b"", 400, Code.INVALID_JSON, "not JSON"),
        (b"print(1)", 400, Code.INVALID_JSON, "not JSON"),
        (b'{"environment": "python"', 400, Code.INVALID_JSON, "EOF"),
        (b"\xff", 400, Code.INVALID_JSON, "not JSON"),
        (rb'{"environment": "python", "code": "\ud800"}', 400, Code.INVALID_JSON, "hex escape"),
        (b"[]", 422, Code.INVALID_REQUEST, "body"),
        (b"null", 422, Code.INVALID_REQUEST, "body"),
        (b'{"environment": "python"}', 422, Code.INVALID_REQUEST, "give either code or files"),
        (b'{"environment": "python", "code": 1}', 422, Code.INVALID_REQUEST, "code: Input should be a valid string"),
        (b'{"environment": "python", "code": "1", "image": "x"}', 422, Code.INVALID_REQUEST, "image: Extra inputs"),
        (b'{"environment": "python", "code": "1", "args": ["\\u0000"]}', 422, Code.INVALID_REQUEST, "args.0"),
        (b'{"environment": "python", "code": "1", "timeout": 0}', 422, Code.INVALID_REQUEST, "timeout"),
        (b'{"environment": "python", "code": "1", "timeout": 30.1}', 400, Code.TIMEOUT_TOO_LONG, "30.1 s"),
        (b'{"environment": "python", "code": ""}', 400, Code.EMPTY_CODE, "empty"),
        (b'{"environment": "python", "code": " \\n\\t"}', 400, Code.EMPTY_CODE, "empty"),
    ],
)
async def test_invalid_bodies_are_refused(
    executor: FakeExecutor, body: bytes, status: int, code: Code, words: str
) -> None:
    async with api(executor) as client:
        response = await client.post("/execute", content=body, headers=JSON)
    found = problem(response)
    assert (response.status_code, found.code) == (status, code)
    assert words in found.detail


LIMIT = FLOOR.code_kb * 1024


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"code": "x" * LIMIT}, 200, None),
        ({"code": "x" * (LIMIT + 1)}, 413, Code.CODE_TOO_LONG),
        ({"code": "é" * (LIMIT // 2)}, 200, None),
        ({"code": "é" * (LIMIT // 2 + 1)}, 413, Code.CODE_TOO_LONG),
        ({"stdin": "x" * (LIMIT + 1)}, 413, Code.INPUT_TOO_LONG),
        ({"args": ["x" * LIMIT, "x"]}, 413, Code.INPUT_TOO_LONG),
        # The longest JSON of a valid request: each byte of each part is escaped.
        ({"code": "\x01" * LIMIT, "stdin": "\x01" * LIMIT, "args": ["\x01" * LIMIT]}, 200, None),
    ],
)
async def test_sizes_are_limited(
    executor: FakeExecutor, change: dict[str, object], status: int, code: Code | None
) -> None:
    async with api(executor) as client:
        response = await client.post("/execute", json={**HELLO, **change})
    assert response.status_code == status
    if code is not None:
        assert problem(response).code is code


async def test_an_endless_body_is_not_read_to_its_end(executor: FakeExecutor) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 65536
            yield b" " * 65536

    async with api(executor) as client:
        response = await client.post("/execute", content=endless(), headers=JSON)
    assert problem(response).code is Code.BODY_TOO_LONG
    assert response.status_code == 413
    assert sent < 2_000_000


@pytest.mark.parametrize(
    ("code", "status", "retry_after"),
    [
        (Code.UNKNOWN_ENVIRONMENT, 400, None),
        (Code.BUSY, 503, 5),
        (Code.ENGINE_UNAVAILABLE, 503, 10),
    ],
)
async def test_the_executors_refusals_are_passed_on(
    executor: FakeExecutor, code: Code, status: int, retry_after: int | None
) -> None:
    executor.answers["/execute"] = refuses(code, retry_after)
    async with api(executor) as client:
        response = await client.post("/execute", json=HELLO)
    found = problem(response)
    assert (found.code, found.detail, found.status) == (code, "because", status)
    assert response.headers.get("retry-after") == (None if retry_after is None else str(retry_after))


async def unavailable(client: httpx.AsyncClient) -> None:
    for response in (await client.post("/execute", json=HELLO), await client.get("/environments")):
        assert response.status_code == 503
        assert problem(response).code is Code.EXECUTOR_UNAVAILABLE
        assert int(response.headers["retry-after"]) > 0
    health = await client.get("/health")
    assert health.status_code == 503
    assert health.json()["status"] == "unavailable"
    assert "executor is unavailable" in health.json()["reason"]


@pytest.mark.parametrize("answer", [says({}), says("?", 502)])
async def test_an_executor_with_invalid_answers_counts_as_unavailable(executor: FakeExecutor, answer: Answer) -> None:
    executor.answers = dict.fromkeys(executor.answers, answer)
    async with api(executor) as client:
        await unavailable(client)


async def test_an_executor_that_does_not_listen_is_unavailable(executor: FakeExecutor) -> None:
    async with api(executor, EXECUTOR_SOCKET="/nowhere/executor.sock") as client:
        await unavailable(client)


async def test_health(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/health")
    assert (response.status_code, response.json()) == (
        200,
        {"status": "ok", "engine": "reachable", "active_sandboxes": 2},
    )


async def test_health_without_an_engine(executor: FakeExecutor) -> None:
    body = {"engine": "failing", "active_sandboxes": 1, "reason": "/secret/path refused"}
    executor.answers["/health"] = says(body, 503)
    async with api(executor) as client:
        response = await client.get("/health")
    assert response.status_code == 503
    assert response.json()["engine"] == "failing"
    assert "secret" not in response.text


async def test_environments_have_versions_and_limits(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/environments")
    assert response.json()["environments"] == ENVIRONMENTS
    assert response.json()["limits"]["timeout_seconds"] == 30
    assert any("No file in /tmp can be executed" in note for note in response.json()["notes"])


async def test_unknown_paths_and_methods_are_refused(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        missing, wrong = await client.get("/nothing"), await client.get("/execute")
    assert (missing.status_code, problem(missing).code) == (404, Code.NOT_FOUND)
    assert (wrong.status_code, problem(wrong).code) == (405, Code.METHOD_NOT_ALLOWED)
    assert wrong.headers["allow"] == "POST"


async def test_an_internal_error_is_a_problem_without_details(
    executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Executions, "run", lambda *_: 1 / 0)
    async with api(executor) as client:
        response = await client.post("/execute", json=HELLO)
    assert (response.status_code, problem(response).code) == (500, Code.INTERNAL_ERROR)
    assert "division" not in response.text
    assert len(response.headers["x-request-id"]) == 32


async def statuses(client: httpx.AsyncClient, forwarded: list[str]) -> list[int]:
    return [
        (await client.post("/execute", json=HELLO, headers={"X-Forwarded-For": value})).status_code
        for value in forwarded
    ]


async def test_the_rate_is_limited_and_says_when_to_return(executor: FakeExecutor) -> None:
    async with api(executor, REQUESTS_PER_MINUTE="2") as client:
        for _ in range(2):
            assert (await client.post("/execute", json=HELLO)).status_code == 200
        response = await client.post("/execute", json=HELLO)
        assert (response.status_code, problem(response).code) == (429, Code.RATE_LIMITED)
        assert 0 < int(response.headers["retry-after"]) <= 60
        assert (await client.get("/health")).status_code == 200


async def test_a_client_cannot_forge_its_address(executor: FakeExecutor) -> None:
    async with api(executor, REQUESTS_PER_MINUTE="1", TRUSTED_PROXIES='["172.20.0.0/16"]') as client:
        assert await statuses(client, ["198.51.100.1", "198.51.100.2"]) == [200, 429]


async def test_clients_behind_the_proxy_are_counted_separately(executor: FakeExecutor) -> None:
    async with api(executor, peer=PROXY, REQUESTS_PER_MINUTE="1", TRUSTED_PROXIES='["172.20.0.0/16"]') as client:
        assert await statuses(client, ["198.51.100.1", "198.51.100.2", "198.51.100.1"]) == [200, 200, 429]


async def test_only_the_address_that_the_proxy_saw_is_counted(executor: FakeExecutor) -> None:
    forged = ["6.6.6.1, 198.51.100.1", "6.6.6.2, 198.51.100.1", "172.20.0.1, 198.51.100.1"]
    async with api(executor, peer=PROXY, REQUESTS_PER_MINUTE="1", TRUSTED_PROXIES='["172.20.0.0/16"]') as client:
        assert await statuses(client, forged) == [200, 429, 429]


async def test_without_trusted_proxies_x_forwarded_for_is_ignored(executor: FakeExecutor) -> None:
    async with api(executor, peer="127.0.0.1", REQUESTS_PER_MINUTE="1") as client:
        assert await statuses(client, ["198.51.100.1", "198.51.100.2"]) == [200, 429]


async def test_an_ipv6_subscriber_is_one_client(executor: FakeExecutor) -> None:
    addresses = ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"]
    async with api(executor, peer=PROXY, REQUESTS_PER_MINUTE="1", TRUSTED_PROXIES='["172.20.0.0/16"]') as client:
        assert await statuses(client, addresses) == [200, 429, 200]


async def test_cors_is_an_allow_list(executor: FakeExecutor) -> None:
    async with api(executor, ALLOWED_ORIGINS='["https://a.example"]') as client:
        friend = await client.post("/execute", json=HELLO, headers={"Origin": "https://a.example"})
        stranger = await client.post("/execute", json=HELLO, headers={"Origin": "https://b.example"})
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
        preflight = await client.options("/execute", headers={"Origin": "https://a.example", **asked})
        refused = await client.options("/execute", headers={"Origin": "https://b.example", **asked})
    assert friend.headers["access-control-allow-origin"] == "https://a.example"
    assert "access-control-allow-origin" not in stranger.headers
    assert preflight.status_code == 200
    assert refused.status_code == 400


async def test_stats_count_executions_and_refusals(executor: FakeExecutor) -> None:
    async with api(executor, REQUESTS_PER_MINUTE="4") as client:
        for body in (HELLO, HELLO, {**HELLO, "code": ""}, {}, HELLO):
            await client.post("/execute", json=body)
        stats = (await client.get("/stats")).json()
    assert stats["executions"] == {"python": {"error": 2}}
    assert stats["refusals"] == {"empty_code": 1, "invalid_request": 1, "rate_limited": 1}
    assert stats["median_seconds"] == pytest.approx(0.2, rel=0.03)
    assert stats["p95_seconds"] == pytest.approx(0.2, rel=0.03)
    assert stats["uptime_seconds"] > 0
    assert stats["executor"] == {"running": 1, "waiting": 0, "concurrency": 4}


async def test_stats_without_an_executor(executor: FakeExecutor) -> None:
    async with api(executor, EXECUTOR_SOCKET="/nowhere/executor.sock") as client:
        stats = (await client.get("/stats")).json()
    assert stats["executor"] is None
    assert stats["median_seconds"] is None


async def test_the_log_has_metadata_and_not_the_code(executor: FakeExecutor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with api(executor) as client:
        await client.post("/execute", json=HELLO)
        await asyncio.sleep(0)  # The log line is written after the answer.
    (record,) = [record for record in caplog.records if record.getMessage() == "execution"]
    assert record.__dict__["fields"] == {
        "execution_id": "0" * 32,
        "environment": "python",
        "status": "error",
        "seconds": 0.2,
        "code_bytes": 21,
        "code_sha256": hashlib.sha256(HELLO["code"].encode()).hexdigest(),
        "patterns": [],
    }
    assert "secret" not in caplog.text
