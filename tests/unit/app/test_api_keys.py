"""Keys of sites: who may use one, what it may use, and that keys leave each other alone."""

import asyncio
import json
import logging
import threading
from collections import Counter
from pathlib import Path

import anyio
import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.api.keys import KeyRing
from app.api.leases import MemoryLeases
from app.api.settings import Key
from app.wire.problems import Code
from tests.unit.app.fake_executor import RESULT, Answer, FakeExecutor, refuses, says
from tests.unit.app.fake_visitor import api, built, listening
from tests.unit.app.keys_of_sites import SITE, bearer, hashed, key, write
from tests.unit.app.test_api import problem
from tests.unit.app.test_api_refusals import BODY
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio

HELLO = {"environment": "python", "code": "print(1)"}


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        (bearer("server-secret"), None),
        ({"Authorization": "bEARER server-secret"}, None),
        (bearer("page-secret", Origin=SITE), None),
        # Credentials of another scheme are for a proxy or site in front, and are ignored.
        ({"Authorization": "Basic c2VydmVyOnNlY3JldA=="}, None),
        (bearer("server-secre"), Code.UNKNOWN_KEY),
        (bearer(""), Code.UNKNOWN_KEY),
        ({"Authorization": "Bearer"}, Code.UNKNOWN_KEY),
        (bearer("server-secret, Bearer server-secret"), Code.UNKNOWN_KEY),
        (bearer(hashed("server-secret")), Code.UNKNOWN_KEY),
        (bearer("x" * 60_000), Code.UNKNOWN_KEY),
        (bearer("server-secret", Origin=SITE), Code.ORIGIN_NOT_ALLOWED),
        (bearer("page-secret"), Code.ORIGIN_NOT_ALLOWED),
        (bearer("page-secret", Origin="https://other.example"), Code.ORIGIN_NOT_ALLOWED),
        (bearer("page-secret", Origin="null"), Code.ORIGIN_NOT_ALLOWED),
        (bearer("page-secret", Origin=f"{SITE}.evil.example"), Code.ORIGIN_NOT_ALLOWED),
    ],
)
async def test_who_may_use_a_key(
    executor: FakeExecutor, keys: Path, headers: dict[str, str], code: Code | None
) -> None:
    async with api(executor, KEYS_FILE=str(keys)) as client:
        found = await client.post("/execute", json=HELLO, headers=headers)
    assert (found.status_code == 200) == (code is None) == bool(executor.ran)
    if code:
        assert problem(found).code is code
        challenge = 'Bearer error="invalid_token"' if code is Code.UNKNOWN_KEY else None
        assert found.headers.get("WWW-Authenticate") == challenge
        assert "secret" not in problem(found).detail.replace("a secret of servers", "")


async def test_a_key_in_the_url_is_no_key(executor: FakeExecutor, keys: Path) -> None:
    async with api(executor, KEYS_FILE=str(keys), REQUESTS_PER_MINUTE="1") as client:
        found = [await client.post("/execute?key=server-secret&access_token=server-secret", json=HELLO) for _ in "12"]
    assert [response.status_code for response in found] == [200, 429]
    assert problem(found[1]).code is Code.RATE_LIMITED


@pytest.mark.parametrize("path", [*BODY])
async def test_no_call_takes_an_unknown_key(executor: FakeExecutor, keys: Path, path: str) -> None:
    async with api(executor, KEYS_FILE=str(keys)) as client:
        found = await client.post(path, json=BODY[path], headers=bearer("wrong"))
    assert found.status_code in {400, 401}  # On Piston's paths it is 400, as its clients expect.
    assert found.headers["WWW-Authenticate"].startswith("Bearer")
    assert not executor.ran


@pytest.mark.parametrize("path", ["/execute/stream", "/api/v2/connect"])
@pytest.mark.parametrize(("secret", "status"), [("wrong", 401), ("page-secret", 403)])
async def test_no_websocket_opens_with_a_key_that_is_refused(
    executor: FakeExecutor, keys: Path, path: str, secret: str, status: int
) -> None:
    with listening(executor, KEYS_FILE=str(keys)) as address, pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{address}{path}", additional_headers=bearer(secret)):
            pass
    assert refused.value.response.status_code == status


async def test_a_servers_key_is_counted_alone_and_a_pages_key_with_each_address(
    executor: FakeExecutor, keys: Path, store: str
) -> None:
    write(
        keys,
        key("server", requests_per_minute=3),
        key("page", origins=[SITE], requests_per_minute=5, address_per_minute=2),
    )
    options = {"KEYS_FILE": str(keys), "REQUESTS_PER_MINUTE": "1", "RATE_STORE": store}
    said: dict[str, list[str]] = {}
    app = built(executor, **options).public
    for peer in ("203.0.113.1", "203.0.113.2", "203.0.113.3"):
        transport = httpx.ASGITransport(app, client=(peer, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            for kind, headers in (("page", bearer("page-secret", Origin=SITE)), ("server", bearer("server-secret"))):
                for _ in range(3):
                    found = await client.post("/execute", json=HELLO, headers=headers)
                    said.setdefault(kind, []).append("ran" if found.status_code == 200 else problem(found).code)
            # Without a key, the address has its own rate.
            found = await client.post("/execute", json=HELLO)
            assert found.status_code == 200
    ran, limited, of_key = "ran", Code.RATE_LIMITED, Code.KEY_RATE_LIMITED
    assert said["server"] == [ran] * 3 + [of_key] * 6
    assert said["page"] == [ran, ran, limited, ran, ran, limited, ran, of_key, limited]


async def test_the_headers_tell_each_budget(executor: FakeExecutor, keys: Path, store: str) -> None:
    write(keys, key("page", origins=[SITE], requests_per_minute=1, address_per_minute=5, seconds_per_day=100))
    executor.answers["/execute"] = says({**RESULT, "execution_time": 0.25})
    async with api(executor, KEYS_FILE=str(keys), RATE_STORE=store) as client:
        headers = bearer("page-secret", Origin=SITE)
        first = await client.post("/execute", json={**HELLO, "timeout": 10}, headers=headers)
        second = await client.post("/execute", json=HELLO, headers=headers)
    policies = '"executions";q=5;w=60, "key";q=1;w=60'
    assert first.headers["RateLimit-Policy"] == f'{policies}, "seconds";q=100;w=86400;qu="seconds"'
    left = [item.split(";t=")[0] for item in first.headers["RateLimit"].split(", ")]
    assert left == ['"executions";r=4', '"key";r=0', '"seconds";r=90']
    assert second.headers["RateLimit-Policy"] == policies
    found = problem(second)
    assert (found.code, found.retry_after in range(50, 61)) == (Code.KEY_RATE_LIMITED, True)
    assert "the key page" in found.detail
    for name in ("RateLimit", "RateLimit-Policy", "WWW-Authenticate"):
        assert name in first.headers["Access-Control-Expose-Headers"]


def held(until: threading.Event, slow: str) -> Answer:
    """Answers that wait for an event, if the code is `slow`."""

    async def answer(request: Request) -> Response:
        if json.loads(await request.body())["code"] == slow:
            await anyio.to_thread.run_sync(until.wait, 20)
        return JSONResponse(RESULT)

    return answer


async def test_runs_at_once_are_of_one_key(executor: FakeExecutor, keys: Path, store: str) -> None:
    write(keys, key("one", concurrent_runs=2), key("other", concurrent_runs=2))
    ended = threading.Event()
    executor.answers["/execute"] = held(ended, "slow")
    async with api(executor, KEYS_FILE=str(keys), RATE_STORE=store) as client:

        async def run(who: str, code: str = "quick") -> httpx.Response:
            return await client.post("/execute", json={**HELLO, "code": code}, headers=bearer(f"{who}-secret"))

        slow = [asyncio.create_task(run("one", "slow")) for _ in "12"]
        await comes_to_hold(lambda: len(executor.ran) == 2)
        refused = problem(await run("one"))
        assert (refused.code, refused.retry_after) == (Code.KEY_RUNS_LIMITED, 1)
        assert "2 executions at once" in refused.detail
        assert (await run("other")).status_code == 200
        ended.set()
        assert [(await it).status_code for it in slow] == [200, 200]
        assert (await run("one")).status_code == 200


async def test_a_client_that_leaves_gives_its_run_back(executor: FakeExecutor, keys: Path, store: str) -> None:
    write(keys, key("one", concurrent_runs=1))
    ended = threading.Event()
    executor.answers["/execute"] = held(ended, "slow")
    with listening(executor, KEYS_FILE=str(keys), RATE_STORE=store) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}", headers=bearer("one-secret")) as client:
            with pytest.raises(httpx.ReadTimeout):
                await client.post("/execute", json={**HELLO, "code": "slow"}, timeout=0.5)

            async def runs() -> bool:
                return (await client.post("/execute", json=HELLO)).status_code == 200

            for _ in range(100):
                if await runs():
                    break
                await asyncio.sleep(0.05)
            else:
                pytest.fail("the run was not given back")
        ended.set()


async def test_seconds_are_taken_before_a_run_and_what_was_not_used_comes_back(
    executor: FakeExecutor, keys: Path, store: str
) -> None:
    write(keys, key("one", seconds_per_day=10))
    executor.answers["/execute"] = says({**RESULT, "execution_time": 2.5})
    async with api(executor, KEYS_FILE=str(keys), RATE_STORE=store) as client:

        async def run(seconds: float) -> httpx.Response:
            return await client.post("/execute", json={**HELLO, "timeout": seconds}, headers=bearer("one-secret"))

        assert problem(await run(11)).code is Code.KEY_SECONDS_SPENT
        assert [(await run(3)).status_code for _ in "123"] == [200] * 3  # They use 7.5 s.
        found = problem(await run(3))
        assert found.code is Code.KEY_SECONDS_SPENT
        assert found.retry_after is not None
        assert 0 < found.retry_after <= 86_400
        assert "2 of its 10 s" in found.detail
        executor.answers["/execute"] = refuses(Code.BUSY, 1)
        assert problem(await run(2)).code is Code.BUSY  # A refused run uses no seconds.
        executor.answers["/execute"] = says({**RESULT, "execution_time": 2.5})
        assert (await run(2.5)).status_code == 200
        assert problem(await run(0.1)).code is Code.KEY_SECONDS_SPENT


async def test_a_day_ends_at_midnight() -> None:
    now = 86_399.0
    leases = MemoryLeases(lambda: now)
    one = Key(name="one", secrets=(hashed("x"),), seconds_per_day=1, concurrent_runs=9)
    late = await leases.take(one, 1000)
    assert not (await leases.take(one, 1000)).admitted
    now = 86_400
    assert (await leases.take(one, 1000)).admitted
    await leases.give_back(late, 1000)  # The seconds go back to the day from which they were taken.
    assert not (await leases.take(one, 1000)).admitted


async def test_a_key_has_its_own_environments(executor: FakeExecutor, keys: Path) -> None:
    write(keys, key("one", environments=["node"]))
    async with api(executor, KEYS_FILE=str(keys)) as client:
        found = [
            await client.post("/execute", json={"environment": name, "code": "1"}, headers=bearer("one-secret"))
            for name in ("js", "python")
        ]
    assert found[0].status_code == 200
    assert problem(found[1]).code is Code.ENVIRONMENT_NOT_ALLOWED
    assert found[1].status_code == 403


async def test_a_stream_and_a_batch_are_within_a_keys_budgets(executor: FakeExecutor, keys: Path, store: str) -> None:
    write(keys, key("one", requests_per_minute=4, concurrent_runs=1, seconds_per_day=60))
    headers = bearer("one-secret")
    with listening(executor, KEYS_FILE=str(keys), RATE_STORE=store) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}", headers=headers) as client:
            async with connect(f"ws://{address}/execute/stream", additional_headers=headers) as socket:
                await socket.send(json.dumps({"type": "start", **HELLO}))
                assert json.loads(await socket.recv())["type"] == "started"
                assert problem(await client.post("/execute", json=HELLO)).code is Code.KEY_RUNS_LIMITED
                await socket.send('{"type": "stdin_end"}')
                async for _ in socket:
                    pass
            # The key may run one execution at once, so the inputs run one after the other.
            found = await client.post("/execute/batch", json={**HELLO, "inputs": [{}, {}]})
            assert [json.loads(line)["result"]["status"] for line in found.text.splitlines()] == ["error"] * 2
            more = await client.post("/execute/batch", json={**HELLO, "inputs": [{}] * 5})
    assert problem(more).code is Code.KEY_RATE_LIMITED


async def test_repeats_are_of_a_key_whatever_the_servers_address(
    executor: FakeExecutor, keys: Path, shared: str
) -> None:
    headers = {"Idempotency-Key": '"8e03978e"'}
    for peer, given in (("203.0.113.1", bearer("server-secret")), ("203.0.113.2", bearer("server-secret"))):
        async with api(executor, peer, KEYS_FILE=str(keys), RATE_STORE=shared) as client:
            await client.post("/execute", json=HELLO, headers={**headers, **given})
    assert len(executor.ran) == 1
    async with api(executor, "203.0.113.2", KEYS_FILE=str(keys), RATE_STORE=shared) as client:
        await client.post("/execute", json=HELLO, headers=headers)
    assert len(executor.ran) == 2


async def test_pages_of_a_key_may_call_and_others_may_not(executor: FakeExecutor, keys: Path) -> None:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type"}
    async with api(executor, KEYS_FILE=str(keys)) as client:
        for origin, allowed in ((SITE, True), ("https://other.example", False)):
            found = await client.options("/execute", headers={"Origin": origin, **asked})
            assert (found.headers.get("Access-Control-Allow-Origin") == origin) is allowed
            assert (found.status_code == 200) is allowed
        write(keys, key("page", origins=["https://other.example"]))
        found = await client.options("/execute", headers={"Origin": "https://other.example", **asked})
        assert found.status_code == 200
    with listening(executor, KEYS_FILE=str(keys)) as address:
        async with connect(f"ws://{address}/execute/stream", origin="https://other.example"):  # type: ignore[arg-type]
            pass


async def test_two_keys_at_ten_times_their_rate_leave_each_other_alone(
    executor: FakeExecutor, keys: Path, store: str
) -> None:
    rate = 20
    limits = {"requests_per_minute": rate, "concurrent_runs": 256}
    write(keys, key("one", **limits), key("page", origins=[SITE], address_per_minute=rate, **limits))
    sent = {"one": bearer("one-secret"), "page": bearer("page-secret", Origin=SITE), "nobody": {}}
    said: Counter[tuple[str, str]] = Counter()
    async with api(executor, KEYS_FILE=str(keys), RATE_STORE=store, REQUESTS_PER_MINUTE="3") as client:

        async def visit(who: str) -> None:
            for _ in range(rate):
                found = await client.post("/execute", json=HELLO, headers=sent[who])
                said[who, "ran" if found.status_code == 200 else problem(found).code] += 1

        await asyncio.gather(*(visit(who) for who in sent for _ in range(10)))
    assert said == {
        ("one", "ran"): rate,
        ("one", Code.KEY_RATE_LIMITED): 9 * rate,
        ("page", "ran"): rate,
        ("page", Code.RATE_LIMITED): 9 * rate,
        ("nobody", "ran"): 3,
        ("nobody", Code.RATE_LIMITED): 10 * rate - 3,
    }


async def test_names_alone_are_in_logs_and_metrics(
    executor: FakeExecutor, keys: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    write(keys, key("server", requests_per_minute=2))
    both = built(executor, KEYS_FILE=str(keys))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(both.public), base_url="http://api") as client:
        for secret in ("server-secret", "server-secret", "server-secret", "wrong-secret"):
            await client.post("/execute", json=HELLO, headers=bearer(secret))
        await asyncio.sleep(0)  # The log lines are written after the answers.
    async with httpx.AsyncClient(transport=httpx.ASGITransport(both.metrics), base_url="http://api") as client:
        text = (await client.get("/metrics")).text
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if "key" in sample.labels and not sample.name.endswith("_created")
    }
    assert found == {
        ("api_key_executions_total", "server", "admitted"): 2,
        ("api_key_executions_total", "server", "key_rate_limited"): 1,
        ("api_key_seconds_total", "server"): pytest.approx(0.4),
    }
    assert 'api_refusals_total{reason="unknown_key"} 1.0' in text
    lines = [getattr(record, "fields", {}) for record in caplog.records if record.getMessage() == "execution"]
    assert [line.get("key") for line in lines] == ["server", "server"]
    everything = text + caplog.text + str(lines)
    assert "secret" not in everything
    assert hashed("server-secret").removeprefix("sha256:") not in everything


async def test_an_unavailable_store_refuses_runs_of_keys(executor: FakeExecutor, keys: Path) -> None:
    async with api(executor, KEYS_FILE=str(keys), RATE_STORE="valkey://127.0.0.1:1/0") as client:
        found = await client.post("/execute", json=HELLO, headers=bearer("server-secret"))
    assert problem(found).code is Code.RATE_STORE_UNAVAILABLE


async def test_a_refusal_of_an_unknown_key_costs_little(executor: FakeExecutor, keys: Path) -> None:
    """As many keys as there may be, and the longest header: a hash of 128 characters and 200 comparisons at most."""
    write(keys, *(key(f"key-{number}", f"{number}-old", f"{number}-new") for number in range(100)))
    ring = KeyRing(keys)
    started = asyncio.get_running_loop().time()
    for secret in ("x" * 128, "x" * 60_000):
        for _ in range(100):
            assert ring._of(secret) is None
    assert asyncio.get_running_loop().time() - started < 2
    assert not executor.ran
