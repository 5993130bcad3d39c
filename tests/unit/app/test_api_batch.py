"""POST /execute/batch in front of a fake executor: one program with many inputs."""

import asyncio
import json
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from app.profile import FLOOR
from app.wire.problems import Code, Problem
from tests.unit.app.fake_executor import RESULT, Answer, FakeExecutor, refuses
from tests.unit.app.fake_visitor import api, built, listening

pytestmark = pytest.mark.anyio

PATH = "/execute/batch"
PROGRAM = {"environment": "python", "code": "print(input())"}
DONE = {**RESULT, "status": "success"}


def batch(*inputs: dict[str, Any], **more: object) -> dict[str, Any]:
    return {**PROGRAM, "inputs": inputs, **more}


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "application/jsonl"
    return [json.loads(line) for line in response.text.splitlines()]


def problem(response: httpx.Response) -> Problem:
    assert response.headers["content-type"] == "application/problem+json"
    return Problem.model_validate_json(response.content)


def by_stdin(answers: dict[str, Answer]) -> Answer:
    """An executor's answer that depends on the execution's stdin; others are echoed."""

    async def answer(request: Request) -> Response:
        stdin = (await request.json())["stdin"]
        return await answers[stdin](request) if stdin in answers else JSONResponse({**DONE, "stdout": stdin})

    return answer


async def after(seconds: float, stdout: str) -> Response:
    await asyncio.sleep(seconds)
    return JSONResponse({**DONE, "stdout": stdout})


async def test_each_input_is_an_execution_of_its_own_and_answers_come_in_order(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = by_stdin({"0": lambda _: after(0.1, "0")})
    async with api(executor) as client:
        response = await client.post(PATH, json=batch(*({"stdin": str(number)} for number in range(5))))
    said = lines(response)
    assert [answer["input"] for answer in said] == [0, 1, 2, 3, 4]
    assert [answer["result"] for answer in said] == [{**DONE, "stdout": str(number)} for number in range(5)]
    assert response.headers["cache-control"] == "no-store"
    assert sorted(ran["stdin"] for ran in executor.ran) == ["0", "1", "2", "3", "4"]


async def test_an_input_has_what_it_leaves_out_from_the_batch(executor: FakeExecutor) -> None:
    table = {"name": "table.csv", "content": "MQ==", "encoding": "base64"}
    inputs: list[dict[str, Any]] = [{}, {"stdin": "own", "args": []}, {"files": [table]}]
    shared = {"stdin": "shared", "args": ["a"], "timeout": 3, "results": ["*"], "merge": True}
    async with api(executor, BATCH_AT_ONCE="1") as client:
        lines(await client.post(PATH, json=batch(*inputs, **shared)))
    main = {"name": "main.py", "content": PROGRAM["code"], "encoding": "utf8"}
    rest: dict[str, Any] = {"environment": "python", "code": None, "main": None, "terminal": None, "packages": []}
    expected = [
        {**rest, **shared, "files": [main]},
        {**rest, **shared, "files": [main], "stdin": "own", "args": []},
        {**rest, **shared, "files": [main, table]},
    ]
    assert executor.ran == expected


async def test_a_program_of_several_files_keeps_its_main_file(executor: FakeExecutor) -> None:
    files = [{"name": name, "content": "1", "encoding": "utf8"} for name in ("a.py", "b.py")]
    body = {"environment": "python", "files": files, "main": "b.py", "inputs": [{}]}
    async with api(executor) as client:
        lines(await client.post(PATH, json=body))
    assert (executor.ran[0]["files"], executor.ran[0]["main"]) == (files, "b.py")


async def test_the_answers_can_be_events(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = by_stdin({"late": refuses(Code.BUSY, 5)})
    async with api(executor) as client:
        response = await client.post(
            PATH, json=batch({}, {"stdin": "late"}), headers={"Accept": "text/event-stream, application/jsonl;q=0.5"}
        )
    assert response.headers["content-type"].startswith("text/event-stream")
    first, second = response.text.removesuffix("\n\n").split("\n\n")
    assert first.startswith('event: result\ndata: {"input":0,"result":{')
    assert second.startswith('event: problem\ndata: {"input":1,"problem":{')


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"inputs": []}, Code.INVALID_REQUEST, "inputs: Tuple should have at least 1 item"),
        ({"inputs": [{}] * 101}, Code.INVALID_REQUEST, "inputs: Tuple should have at most 100 items"),
        ({"inputs": [{}, {"stdout": ""}]}, Code.INVALID_REQUEST, "inputs.1.stdout: Extra inputs"),
        ({"inputs": [{}, {"args": ["\0"]}]}, Code.INVALID_REQUEST, "inputs.1.args.0: an argument"),
        (
            {"inputs": [{}, {"files": [{"name": "main.py", "content": ""}]}]},
            Code.INVALID_REQUEST,
            "inputs.1: body: two files have the same name",
        ),
        ({"inputs": [{"stdin": "x" * (FLOOR.code_kb * 1024 + 1)}]}, Code.INPUT_TOO_LONG, "inputs.0: stdin has 65537"),
        (
            {"inputs": [{"files": [{"name": "data", "content": "x" * FLOOR.code_kb * 1024}]}]},
            Code.CODE_TOO_LONG,
            "inputs.0: The code has 65550 bytes",
        ),
        ({"inputs": [{"stdin": "x" * 60_000}] * 30}, Code.BODY_TOO_LONG, "The body is longer"),
        ({"inputs": [{}], "code": " "}, Code.EMPTY_CODE, "The code is empty"),
        ({"inputs": [{}], "timeout": 31}, Code.TIMEOUT_TOO_LONG, "The timeout is 31 s"),
        ({"inputs": [{}], "terminal": {"columns": 80, "rows": 24}}, Code.INVALID_REQUEST, "terminal: only the"),
        ({"inputs": [{"args": ["a"] * 50}] * 60}, Code.INVALID_REQUEST, "The JSON has more than 2000 values"),
    ],
)
async def test_a_batch_with_an_invalid_part_is_refused_as_a_whole(
    executor: FakeExecutor, change: dict[str, Any], code: Code, words: str
) -> None:
    async with api(executor) as client:
        found = problem(await client.post(PATH, json={**PROGRAM, **change}))
    assert found.code is code
    assert found.detail.startswith(words)
    assert executor.ran == []


async def test_a_usual_batch_of_100_is_accepted(executor: FakeExecutor) -> None:
    inputs = [{"stdin": "[{,", "args": ["a,", "b,"], "files": [{"name": "x", "content": "[{,"}]}] * 100
    async with api(executor, BATCH_AT_ONCE="50") as client:
        assert len(lines(await client.post(PATH, json=batch(*inputs)))) == 100


async def test_each_input_counts_against_the_rate(executor: FakeExecutor) -> None:
    async with api(executor, REQUESTS_PER_MINUTE="5") as client:
        held = await client.post(PATH, json=batch({}, {}, {}))
        refused = await client.post(PATH, json=batch(*[{}] * 3))
        more = await client.post("/execute", json=PROGRAM)
        last = await client.post("/execute", json=PROGRAM)
    assert len(lines(held)) == 3
    assert held.headers["ratelimit"] == '"executions";r=2;t=60'
    found = problem(refused)
    assert (found.code, found.retry_after) == (Code.RATE_LIMITED, 60)
    assert found.detail == (
        "At most 5 executions a minute are allowed for one address: 3 are asked for and 2 were left, "
        "so that none was run."
    )
    assert refused.headers["ratelimit"] == '"executions";r=1;t=60'
    assert (more.status_code, last.status_code) == (200, 429)
    assert len(executor.ran) == 4


async def test_a_batch_of_two_waits_until_both_fit(executor: FakeExecutor) -> None:
    async with api(executor, REQUESTS_PER_MINUTE="2") as client:
        await client.post("/execute", json=PROGRAM)
        found = problem(await client.post(PATH, json=batch({}, {})))
    assert (found.code, found.retry_after) == (Code.RATE_LIMITED, 60)
    assert "2 are asked for and 1 were left" in found.detail


async def test_a_batch_that_can_never_fit_is_refused_with_a_code_of_its_own(executor: FakeExecutor) -> None:
    async with api(executor, REQUESTS_PER_MINUTE="5") as client:
        response = await client.post(PATH, json=batch(*[{}] * 6))
    found = problem(response)
    assert (found.code, found.status) == (Code.BATCH_TOO_LONG, 413)
    assert found.detail.startswith("The batch has 6 inputs, and 5 executions a minute are allowed")
    assert "retry-after" not in response.headers


async def test_a_failure_stops_the_batch_if_asked(executor: FakeExecutor) -> None:
    async def fails(_: Request) -> Response:
        return JSONResponse(RESULT)

    executor.answers["/execute"] = by_stdin({"bad": fails, "slow": lambda _: after(5, "slow")})
    inputs = [{"stdin": stdin} for stdin in ("good", "bad", "slow", "never")]
    started = time.monotonic()
    async with api(executor) as client:
        said = lines(await client.post(PATH, json=batch(*inputs, stop_at_failure=True)))
    assert time.monotonic() - started < 3
    assert [answer["result"]["status"] for answer in said] == ["success", "error"]
    assert "never" not in {ran["stdin"] for ran in executor.ran}


async def test_a_failure_does_not_stop_the_batch_otherwise(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        said = lines(await client.post(PATH, json=batch({}, {}, {})))
    assert [answer["result"]["status"] for answer in said] == ["error"] * 3


async def test_the_refusal_of_the_first_input_refuses_the_batch(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = by_stdin({"first": refuses(Code.UNKNOWN_ENVIRONMENT)})
    async with api(executor, BATCH_AT_ONCE="1") as client:
        response = await client.post(PATH, json=batch({"stdin": "first"}, {}, {}))
        stats = (await client.get("/stats")).json()
    assert (response.status_code, problem(response).code) == (400, Code.UNKNOWN_ENVIRONMENT)
    assert len(executor.ran) == 1
    assert stats["refusals"] == {"unknown_environment": 1}


async def test_the_refusal_of_a_later_input_is_its_answer(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = by_stdin({"late": refuses(Code.BUSY, 5)})
    async with api(executor) as client:
        said = lines(await client.post(PATH, json=batch({}, {"stdin": "late"}, {})))
        stats = (await client.get("/stats")).json()
        stopped = lines(await client.post(PATH, json=batch({}, {"stdin": "late"}, {}, stop_at_failure=True)))
    assert [sorted(answer) for answer in said] == [["input", "result"], ["input", "problem"], ["input", "result"]]
    assert Problem.model_validate(said[1]["problem"]).retry_after == 5
    assert stats["refusals"] == {"busy": 1}
    assert stats["executions"] == {"python": {"success": 2}}
    assert len(stopped) == 2


async def test_a_dangerous_pattern_refuses_the_batch(executor: FakeExecutor) -> None:
    async with api(executor, REFUSE_PATTERNS="true") as client:
        response = await client.post(PATH, json=batch({}, {}, code="import os\nwhile True: os.fork()"))
    assert problem(response).code is Code.DANGEROUS_PATTERN
    assert executor.ran == []


@pytest.mark.parametrize("at_once", [1, 2, 5])
async def test_only_some_run_at_once_and_only_so_many_answers_wait_for_an_earlier_one(
    executor: FakeExecutor, at_once: int
) -> None:
    running = most = 0

    async def answer(request: Request) -> Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        first = (await request.json())["stdin"] == "first"
        await asyncio.sleep(0.3 if first else 0.01)
        running -= 1
        begun = len(executor.ran)
        return JSONResponse({**DONE, "stdout": str(begun)})

    executor.answers["/execute"] = answer
    async with api(executor, BATCH_AT_ONCE=str(at_once)) as client:
        said = lines(await client.post(PATH, json=batch({"stdin": "first"}, *[{}] * 7)))
    assert most == at_once
    assert said[0]["result"]["stdout"] == str(at_once), "while the first ran, others began beyond the bound"


@pytest.fixture
def host(executor: FakeExecutor) -> Iterator[str]:
    with listening(executor) as found:
        yield found


async def test_an_answer_is_sent_as_soon_as_it_can_be_told(executor: FakeExecutor, host: str) -> None:
    executor.answers["/execute"] = by_stdin({"slow": lambda _: after(1, "slow")})
    async with (
        httpx.AsyncClient(base_url=f"http://{host}") as client,
        client.stream("POST", PATH, json=batch({"stdin": "quick"}, {"stdin": "slow"})) as response,
    ):
        arrived = []
        async for _ in response.aiter_lines():
            arrived.append(time.monotonic())
    assert arrived[1] - arrived[0] > 0.5


async def test_a_client_that_disconnects_cancels_the_rest(executor: FakeExecutor, host: str) -> None:
    async def endless(request: Request) -> Response:
        while (await request.receive())["type"] != "http.disconnect":
            pass
        executor.gone.set()
        return Response()

    executor.answers["/execute"] = by_stdin({"endless": endless})
    inputs = [{"stdin": "quick"}, {"stdin": "endless"}, {"stdin": "endless"}, {"stdin": "never"}]
    async with (
        httpx.AsyncClient(base_url=f"http://{host}") as client,
        client.stream("POST", PATH, json=batch(*inputs)) as response,
    ):
        await anext(response.aiter_lines())
    assert await asyncio.to_thread(executor.gone.wait, 5)
    assert "never" not in {ran["stdin"] for ran in executor.ran}


async def test_inputs_are_counted(executor: FakeExecutor) -> None:
    app = built(executor)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.public), base_url="http://api") as client:
        await client.post(PATH, json=batch({}, {}, {}))
        await client.post(PATH, json={**PROGRAM, "inputs": []})
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app.metrics), base_url="http://api") as client:
        text = (await client.get("/metrics")).text
    samples = {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    assert samples["api_batch_inputs_sum",] == 3
    assert samples["api_batch_inputs_count",] == 1
    assert samples["api_requests_total", "200", PATH] == 1
    assert samples["api_executions_total", "python", "error"] == 3
