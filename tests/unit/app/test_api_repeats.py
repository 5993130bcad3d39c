"""Requests with an Idempotency-Key, in front of a fake executor."""

import asyncio
import json
from itertools import count

import httpx
import pytest
import valkey
from limits.errors import StorageError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.api import repeats
from app.api.repeats import AnswerStore, MemoryAnswers, ValkeyAnswers
from app.wire.problems import Code, Problem
from tests.unit.app.fake_executor import RESULT, Answer, FakeExecutor, refuses
from tests.unit.app.fake_visitor import api, listening
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio

HELLO = {"environment": "python", "code": "print(1)"}
KEY = {"Idempotency-Key": '"8e03978e-40d5-43dd-bc93-6894a57f9324"'}
JSON = {"Content-Type": "application/json"}
ONE_KB = 1024


def numbered(seconds: float = 0) -> Answer:
    """Answers that take some seconds, and whose stdout is their number."""
    numbers = count(1)

    async def answer(_: Request) -> Response:
        number = next(numbers)
        await asyncio.sleep(seconds)
        return JSONResponse({**RESULT, "stdout": str(number)})

    return answer


def code(response: httpx.Response) -> Code:
    assert response.headers["content-type"] == "application/problem+json"
    return Problem.model_validate_json(response.content).code


async def test_a_repeated_request_gets_the_first_answer(executor: FakeExecutor, store: str) -> None:
    executor.answers["/execute"] = numbered()
    async with api(executor, RATE_STORE=store) as client:
        first = await client.post("/execute", json=HELLO, headers=KEY)
        again = await client.post("/execute", content=json.dumps(HELLO, indent=1), headers={**KEY, **JSON})
        bare = await client.post("/execute", json=HELLO, headers={"Idempotency-Key": KEY["Idempotency-Key"].strip('"')})
        other = await client.post("/execute", json=HELLO, headers={"Idempotency-Key": "other"})
        without = await client.post("/execute", json=HELLO)
    assert first.json() == {**RESULT, "stdout": "1"}
    assert again.content == bare.content == first.content
    assert (again.headers["content-type"], again.status_code) == ("application/json", 200)
    assert [response.json()["stdout"] for response in (other, without)] == ["2", "3"]


async def test_requests_that_arrive_at_once_run_once(executor: FakeExecutor, store: str) -> None:
    executor.answers["/execute"] = numbered(seconds=0.3)
    async with api(executor, RATE_STORE=store) as client, api(executor, RATE_STORE=store) as unit:
        clients = [client, client, client, unit if store != "memory://" else client]
        found = await asyncio.gather(*(it.post("/execute", json=HELLO, headers=KEY) for it in clients))
    assert {response.json()["stdout"] for response in found} == {"1"}
    assert len(executor.ran) == 1


async def test_a_key_is_of_one_address_alone(executor: FakeExecutor, shared: str) -> None:
    executor.answers["/execute"] = numbered()
    said = []
    for peer in ("198.51.100.1", "198.51.100.2", "2001:db8::1", "2001:db8::2"):
        async with api(executor, peer, RATE_STORE=shared) as client:
            said.append((await client.post("/execute", json=HELLO, headers=KEY)).json()["stdout"])
    assert said == ["1", "2", "3", "3"]


async def test_a_key_with_another_body_is_refused(executor: FakeExecutor, store: str) -> None:
    executor.answers["/execute"] = numbered(seconds=0.2)
    async with api(executor, RATE_STORE=store) as client:
        first = asyncio.create_task(client.post("/execute", json=HELLO, headers=KEY))
        await comes_to_hold(lambda: executor.ran)
        early = await client.post("/execute", json={**HELLO, "stdin": "x"}, headers=KEY)
        await first
        late = await client.post("/execute", json={**HELLO, "stdin": "x"}, headers=KEY)
    for response in (early, late):
        assert (response.status_code, code(response)) == (422, Code.IDEMPOTENCY_KEY_REUSED)
    assert len(executor.ran) == 1


async def test_a_refusal_is_not_kept(executor: FakeExecutor, store: str) -> None:
    executor.answers["/execute"] = refuses(Code.BUSY, 5)
    async with api(executor, RATE_STORE=store) as client:
        refused = await client.post("/execute", json=HELLO, headers=KEY)
        executor.answers["/execute"] = numbered()
        again = await client.post("/execute", json=HELLO, headers=KEY)
    assert (code(refused), again.json()["stdout"]) == (Code.BUSY, "1")


async def test_a_run_outlives_its_client_only_with_a_key(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = numbered(seconds=0.5)
    with listening(executor) as host:
        async with httpx.AsyncClient(base_url=f"http://{host}") as client:
            for headers in (KEY, {}):
                with pytest.raises(httpx.ReadTimeout):
                    await client.post("/execute", json=HELLO, headers=headers, timeout=0.2)
            answer = await client.post("/execute", json=HELLO, headers=KEY)
            stats = (await client.get("/stats")).json()
    assert answer.json()["stdout"] == "1"
    assert stats["executions"] == {"python": {"error": 1}}


async def test_who_waits_too_long_for_the_first_is_refused(
    executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repeats, "_WAIT_SECONDS", 0.1)
    executor.answers["/execute"] = numbered(seconds=1)
    async with api(executor) as client:
        first = asyncio.create_task(client.post("/execute", json=HELLO, headers=KEY))
        await comes_to_hold(lambda: executor.ran)
        response = await client.post("/execute", json=HELLO, headers=KEY)
        assert (await first).json()["stdout"] == "1"
    assert (response.status_code, code(response)) == (409, Code.IDEMPOTENCY_KEY_IN_USE)
    assert response.headers["retry-after"] == "5"


@pytest.mark.parametrize("key", ["", '""', "a b", "é", "x" * 256, '"x', "a\\b", '"a", "b"'])
async def test_a_malformed_key_is_refused(executor: FakeExecutor, key: str) -> None:
    async with api(executor) as client:
        response = await client.post("/execute", json=HELLO, headers={b"Idempotency-Key": key.encode()})
    assert (response.status_code, code(response)) == (422, Code.INVALID_REQUEST)
    assert executor.ran == []


@pytest.mark.parametrize(("path", "accept"), [("/execute", "text/event-stream"), ("/execute/batch", "*/*")])
async def test_a_key_is_refused_where_it_has_no_effect(executor: FakeExecutor, path: str, accept: str) -> None:
    body = HELLO if path == "/execute" else {**HELLO, "inputs": [{}]}
    async with api(executor) as client:
        response = await client.post(path, json=body, headers={**KEY, "Accept": accept})
    assert code(response) is Code.INVALID_REQUEST
    assert executor.ran == []


async def test_repeated_requests_count_against_the_rate(executor: FakeExecutor) -> None:
    async with api(executor, REQUESTS_PER_MINUTE="2") as client:
        statuses = [(await client.post("/execute", json=HELLO, headers=KEY)).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]


async def away(*_: object) -> None:
    raise StorageError(ConnectionError("away"))


async def test_an_unavailable_store_refuses_keys(executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryAnswers, "claim", away)
    async with api(executor) as client:
        response = await client.post("/execute", json=HELLO, headers=KEY)
        without = await client.post("/execute", json=HELLO)
    assert (response.status_code, code(response)) == (503, Code.RATE_STORE_UNAVAILABLE)
    assert without.json() == RESULT


async def test_an_answer_that_can_not_be_kept_is_given_all_the_same(
    executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(MemoryAnswers, "keep", away)
    async with api(executor) as client:
        response = await client.post("/execute", json=HELLO, headers=KEY)
    assert response.json() == RESULT
    assert "an answer could not be kept for its Idempotency-Key: away" in caplog.text


async def kept(store: AnswerStore, key: str, answer: bytes) -> None:
    assert await store.claim(key, b"claimed") is None
    await store.keep(key, answer)


def of_kb(url: str, kilobytes: int) -> AnswerStore:
    most = kilobytes * ONE_KB
    return MemoryAnswers(most) if url == "memory://" else ValkeyAnswers(url, most)


async def test_the_oldest_answers_go_when_there_are_too_many_bytes(store: str) -> None:
    answers = of_kb(store, 10)
    assert await answers.claim("running", b"claimed") is None
    for number in range(8):
        await kept(answers, str(number), b"x" * ONE_KB)  # Each takes 2 KB with its overhead.
    assert await answers.claim("running", b"claimed") == b"claimed"
    found = [await answers.claim(str(number), b"new") for number in range(8)]
    assert found == [None] * 3 + [b"x" * ONE_KB] * 5


async def test_an_answer_that_is_longer_than_the_memory_is_not_kept(store: str) -> None:
    answers = of_kb(store, 2)
    await kept(answers, "long", b"x" * 3 * ONE_KB)
    await kept(answers, "short", b"x")
    assert await answers.claim("long", b"new") is None
    assert await answers.claim("short", b"new") == b"x"


async def test_answers_go_after_ten_minutes() -> None:
    now = 0.0
    answers = MemoryAnswers(10 * ONE_KB, lambda: now)
    await kept(answers, "a", b"1")
    now = 599
    assert await answers.claim("a", b"new") == b"1"
    now = 600
    assert await answers.claim("a", b"new") is None
    await answers.release("a")
    await kept(answers, "a", b"2")
    assert await answers.claim("a", b"new") == b"2"


async def test_answers_go_after_ten_minutes_in_a_valkey(shared: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "_KEPT_SECONDS", 1)
    monkeypatch.setattr(repeats, "_CLAIM_SECONDS", 1)
    answers = ValkeyAnswers(shared, 10 * ONE_KB)
    await kept(answers, "a", b"1")
    assert await answers.claim("claim", b"of a unit that dies") is None
    await asyncio.sleep(1.5)
    await kept(answers, "a", b"2")
    await kept(answers, "claim", b"3")
    with valkey.Valkey.from_url(shared) as client:
        assert client.llen("vps:repeats:kept") == 2
        assert client.get("vps:repeats:bytes") == str(2 * (1 + ONE_KB)).encode()
    assert await answers.claim("a", b"new") == b"2"
    await asyncio.sleep(1.5)
    with valkey.Valkey.from_url(shared) as client:
        assert client.keys() == []
