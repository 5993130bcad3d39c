"""Streamed executions, over real sockets on both sides of the api."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from starlette.websockets import WebSocket
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode

from app.api import streaming
from app.profile import FLOOR
from app.wire.problems import Code
from tests.unit.app.fake_executor import RESULT, STARTED, FakeExecutor
from tests.unit.app.fake_visitor import listening

pytestmark = pytest.mark.anyio

START = {"type": "start", "environment": "python", "code": "print(1)"}
HELLO = {"environment": "python", "code": "print(1)"}
ENDED = {"type": "result", **RESULT}


def told(frame: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in frame.items() if value is not None}


@pytest.fixture
def host(executor: FakeExecutor) -> Iterator[str]:
    with listening(executor, ALLOWED_ORIGINS='["https://friend.example"]') as found:
        yield found


@asynccontextmanager
async def opened(host: str, **options: Any) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{host}/execute/stream", **options) as connection:
        yield connection


async def say(connection: ClientConnection, *frames: dict[str, Any]) -> None:
    for frame in frames:
        await connection.send(json.dumps(frame))


async def heard(connection: ClientConnection) -> list[dict[str, Any]]:
    """Every frame until the connection is closed, with any close code."""
    frames = []
    with contextlib.suppress(ConnectionClosed):
        async for text in connection:
            frames.append(json.loads(text))
    return frames


async def hear(connection: ClientConnection) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(await connection.recv())
    return found


async def refused_with(connection: ClientConnection) -> tuple[Code, int | None]:
    *_, last = await heard(connection)
    assert last["type"] == "problem"
    return Code[last["code"].upper()], connection.close_code


async def test_input_and_signals_reach_the_code_and_output_comes_back(host: str) -> None:
    async with opened(host) as connection:
        await say(connection, START)
        assert await hear(connection) == STARTED
        await say(connection, {"type": "stdin", "data": "é1"})
        assert await hear(connection) == {"type": "output", "stream": "stdout", "data": "é1"}
        await say(connection, {"type": "signal", "signal": "SIGINT"})
        assert (await hear(connection))["data"] == "<signal>"
        await say(connection, {"type": "stdin_end"})
        assert await heard(connection) == [{**ENDED, "stdout": "é1<signal>"}]
        assert connection.close_code == CloseCode.NORMAL_CLOSURE


async def test_only_the_executions_fields_reach_the_executor(executor: FakeExecutor, host: str) -> None:
    async with opened(host) as connection:
        await say(connection, {**START, "stdin": "x"}, {"type": "stdin_end"})
        await heard(connection)
    nothing: dict[str, object] = {"files": None, "main": None, "args": [], "timeout": None, "results": None}
    nothing["packages"] = []
    assert executor.ran == [{**START, "stdin": "x", **nothing, "merge": False, "terminal": None}]


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("{", Code.INVALID_JSON),
        ("[]", Code.INVALID_REQUEST),
        (b"{}", Code.INVALID_REQUEST),
        ('{"type": "stdin", "data": ""}', Code.INVALID_REQUEST),
        ('{"type": "start", "environment": "python", "code": "1", "image": "x"}', Code.INVALID_REQUEST),
        ('{"type": "start", "environment": "python", "code": " "}', Code.EMPTY_CODE),
        ('{"type": "start", "environment": "python", "code": "1", "timeout": 31}', Code.TIMEOUT_TOO_LONG),
        (json.dumps({**START, "code": "x" * (FLOOR.code_kb * 1024 + 1)}), Code.CODE_TOO_LONG),
    ],
)
async def test_an_invalid_first_frame_is_refused(
    executor: FakeExecutor, host: str, first: str | bytes, code: Code
) -> None:
    async with opened(host) as connection:
        await connection.send(first)
        assert await refused_with(connection) == (code, CloseCode.POLICY_VIOLATION)
    assert executor.ran == []


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["{"], Code.INVALID_JSON),
        ([b"x"], Code.INVALID_REQUEST),
        (['{"type": "fly"}'], Code.INVALID_REQUEST),
        ([json.dumps(START)], Code.INVALID_REQUEST),
        (['{"type": "signal", "signal": "SIGKILL"}'], Code.INVALID_REQUEST),
        ([json.dumps({"type": "stdin", "data": "x" * 40_000})] * 2, Code.INPUT_TOO_LONG),
        ([json.dumps({"type": "cancel"}) + " " * 100_000] * 20, Code.BODY_TOO_LONG),
    ],
)
async def test_invalid_later_frames_are_refused(
    executor: FakeExecutor, host: str, frames: list[str | bytes], code: Code
) -> None:
    async with opened(host) as connection:
        await say(connection, START)
        for frame in frames:
            await connection.send(frame)
        assert await refused_with(connection) == (code, CloseCode.POLICY_VIOLATION)
    assert await asyncio.to_thread(executor.gone.wait, 5)


async def test_a_message_that_is_too_long_closes_the_connection(host: str) -> None:
    async with opened(host) as connection:
        await connection.send(" " * 20_000_000)
        with pytest.raises(ConnectionClosed):
            await connection.recv()
        assert connection.close_code == CloseCode.MESSAGE_TOO_BIG


async def test_the_executors_refusals_are_passed_on(executor: FakeExecutor, host: str) -> None:
    async def busy(websocket: WebSocket) -> None:
        problem = {"title": "t", "status": 503, "detail": "because", "code": "busy", "retry_after": 5}
        await websocket.send_json({"type": "problem", **problem})

    executor.conversation = busy
    async with opened(host) as connection:
        await say(connection, START)
        *_, last = await heard(connection)
        assert told(last) == {
            "type": "problem",
            "title": "Service Unavailable",
            "status": 503,
            "detail": "because",
            "code": "busy",
            "retry_after": 5,
        }
        assert connection.close_code == CloseCode.TRY_AGAIN_LATER


@pytest.mark.parametrize("words", ['{"type": "riddle"}', None])
async def test_an_executor_with_an_invalid_frame_or_a_lost_connection_is_unavailable(
    executor: FakeExecutor, host: str, words: str | None
) -> None:
    async def conversation(websocket: WebSocket) -> None:
        if words is not None:
            await websocket.send_text(words)

    executor.conversation = conversation
    async with opened(host) as connection:
        await say(connection, START)
        assert await refused_with(connection) == (Code.EXECUTOR_UNAVAILABLE, CloseCode.TRY_AGAIN_LATER)


async def test_the_execution_is_cancelled_when_its_client_disconnects(executor: FakeExecutor, host: str) -> None:
    async with opened(host) as connection:
        await say(connection, START)
        await hear(connection)
    assert await asyncio.to_thread(executor.gone.wait, 5)


async def test_a_client_that_sends_no_first_frame_is_refused(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_START_SECONDS", 0.05)
    async with opened(host) as connection:
        assert await refused_with(connection) == (Code.START_TOO_LATE, CloseCode.POLICY_VIOLATION)


async def test_a_slow_reader_does_not_delay_its_execution(
    executor: FakeExecutor, host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streaming, "_SLOW_READER_SECONDS", 0.2)
    spoken = asyncio.Event()
    here = asyncio.get_running_loop()

    async def talkative(websocket: WebSocket) -> None:
        for _ in range(30):
            await websocket.send_json({"type": "output", "stream": "stdout", "data": "x" * 100_000})
        await websocket.send_json(ENDED)
        here.call_soon_threadsafe(spoken.set)

    executor.conversation = talkative
    async with opened(host, max_queue=1, compression=None, close_timeout=0.1) as connection:
        await say(connection, START)
        await asyncio.wait_for(spoken.wait(), 10)  # The executor is read to the end, although the client reads nothing.


async def test_the_rate_is_limited(executor: FakeExecutor) -> None:
    with listening(executor, REQUESTS_PER_MINUTE="1") as host:
        async with opened(host) as connection:
            assert connection.response is not None
            assert connection.response.headers["RateLimit"] == '"executions";r=0;t=60'
            await say(connection, START, {"type": "stdin_end"})
            assert (await heard(connection))[-1]["type"] == "result"
        async with opened(host) as connection:
            assert await refused_with(connection) == (Code.RATE_LIMITED, CloseCode.TRY_AGAIN_LATER)


@pytest.mark.parametrize("origin", ["https://friend.example", "same", None])
async def test_allowed_origins_may_open_a_websocket(host: str, origin: str | None) -> None:
    async with opened(host, origin=f"http://{host}" if origin == "same" else origin) as connection:
        await say(connection, START, {"type": "stdin_end"})
        assert (await heard(connection))[-1]["type"] == "result"


@pytest.mark.parametrize("origin", ["https://stranger.example", "null", "https://friend.example.stranger.example"])
async def test_other_origins_may_not_open_a_websocket(executor: FakeExecutor, host: str, origin: str) -> None:
    with pytest.raises(InvalidStatus) as caught:
        async with opened(host, origin=origin):
            pass
    assert caught.value.response.status_code == 403
    assert json.loads(caught.value.response.body)["code"] == Code.ORIGIN_NOT_ALLOWED
    assert executor.ran == []


@asynccontextmanager
async def event_stream(host: str, **changes: object) -> AsyncIterator[httpx.Response]:
    async with (
        httpx.AsyncClient(base_url=f"http://{host}", headers={"Accept": "text/event-stream"}) as client,
        client.stream("POST", "/execute", json={**HELLO, **changes}) as response,
    ):
        yield response


async def events(response: httpx.Response) -> list[tuple[str, dict[str, Any]]]:
    await response.aread()
    pairs = (event.split("\n") for event in response.text.removesuffix("\n\n").split("\n\n"))
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in pairs]


async def test_server_sent_events(executor: FakeExecutor, host: str) -> None:
    async def conversation(websocket: WebSocket) -> None:
        assert json.loads(await websocket.receive_text()) == {"type": "stdin_end"}
        await websocket.send_json({"type": "output", "stream": "stderr", "data": "a\n\nb"})
        await websocket.send_json(ENDED)

    executor.conversation = conversation
    async with event_stream(host) as response:
        assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert await events(response) == [
            ("started", STARTED),
            ("output", {"type": "output", "stream": "stderr", "data": "a\n\nb"}),
            ("result", ENDED),
        ]


async def test_a_refusal_before_the_first_event_is_a_problem_document(executor: FakeExecutor, host: str) -> None:
    async with event_stream(host, code="") as response:
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"
    with listening(executor, EXECUTOR_SOCKET="/nowhere/x.sock") as alone:
        async with event_stream(alone) as response:
            assert response.status_code == 503
            assert json.loads(await response.aread())["code"] == Code.EXECUTOR_UNAVAILABLE


async def test_a_refusal_after_the_first_event_is_the_last_event(executor: FakeExecutor, host: str) -> None:
    async def dies(_: WebSocket) -> None:
        pass

    executor.conversation = dies
    async with event_stream(host) as response:
        assert [name for name, _ in await events(response)] == ["started", "problem"]
    async with httpx.AsyncClient(base_url=f"http://{host}") as client:
        assert (await client.get("/stats")).json()["refusals"] == {"executor_unavailable": 1}


async def test_the_execution_is_cancelled_when_the_reader_of_events_disconnects(
    executor: FakeExecutor, host: str
) -> None:
    async def silent(websocket: WebSocket) -> None:
        while True:
            await websocket.receive_text()

    executor.conversation = silent
    async with event_stream(host) as response:
        await anext(response.aiter_bytes())
    assert await asyncio.to_thread(executor.gone.wait, 5)
