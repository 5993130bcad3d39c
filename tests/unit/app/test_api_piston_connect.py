"""Piston's WebSocket, over real sockets on both sides of the api.

The frames and close codes are those that Piston's own api/src/api/v2.js (commit 0a844d0) gave to the same frames.
"""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from app.api import streaming
from app.wire.problems import Code
from tests.unit.app.fake_executor import RESULT, FakeExecutor, refuses
from tests.unit.app.fake_visitor import listening

pytestmark = pytest.mark.anyio

Frame = dict[str, Any]

INIT: Frame = {"type": "init", "language": "py3", "version": "3.10.0", "files": [{"name": "./a.py", "content": "1"}]}
STARTED: list[Frame] = [
    {"type": "runtime", "language": "python", "version": "3.13.5"},
    {"type": "stage", "stage": "run"},
]
COMPLETED = (4999, "Job Completed")
NOTIFIED = (4002, "Notified Error")


@pytest.fixture
def host(executor: FakeExecutor) -> Iterator[str]:
    executor.conversation = echo_a_line
    with listening(executor) as found:
        yield found


async def echo_a_line(websocket: WebSocket) -> None:
    """Sends back what the api passes on, until a line has come or the run is cancelled."""
    heard = ""
    while not heard.endswith(("\n", "<cancel>")):
        frame = json.loads(await websocket.receive_text())
        heard += frame.get("data", f"<{frame.get('signal', frame['type'])}>")
    await websocket.send_json({"type": "output", "stream": "stderr", "data": heard})
    await websocket.send_json({"type": "result", **RESULT})


async def talk(
    host: str, *frames: Frame | str, started: int = 0, then: Sequence[Frame] = ()
) -> tuple[list[Frame], tuple[int | None, str | None]]:
    """Send `frames`, receive `started` frames, send `then`. Returns all frames, and code and reason of the close."""
    heard = []
    async with connect(f"ws://{host}/api/v2/connect") as connection:
        with contextlib.suppress(ConnectionClosed):
            for frame in frames:
                await connection.send(frame if isinstance(frame, str) else json.dumps(frame))
            heard = [json.loads(await connection.recv()) for _ in range(started)]
            for frame in then:
                await connection.send(json.dumps(frame))
        with contextlib.suppress(ConnectionClosed):
            while True:
                heard.append(json.loads(await connection.recv()))
        return heard, (connection.close_code, connection.close_reason)


def data(text: object, stream: str = "stdin") -> Frame:
    return {"type": "data", "stream": stream, "data": text}


def interrupt(name: object) -> Frame:
    return {"type": "signal", "signal": name}


@pytest.mark.parametrize(
    ("then", "heard"),
    [
        ([data("a"), data("b\n")], "ab\n"),
        ([interrupt("SIGINT"), interrupt("SIGTERM"), data("\n")], "<SIGINT><SIGTERM>\n"),
        ([interrupt("SIGKILL")], "<cancel>"),
        ([interrupt("SIGWINCH"), {"type": "resize"}, {}, data("a\n")], "a\n"),
    ],
)
async def test_a_conversation(executor: FakeExecutor, host: str, then: list[Frame], heard: str) -> None:
    """Signals that Piston knows and we don't deliver, and frames of other types, have no effect."""
    frames, closed = await talk(host, {"type": "hello"}, INIT, started=2, then=then)
    assert frames == [
        *STARTED,
        {"type": "data", "stream": "stderr", "data": heard},
        {"type": "exit", "stage": "run", "code": 1, "signal": None},
    ]
    assert closed == COMPLETED
    (ran,) = executor.ran
    assert (ran["environment"], ran["files"][0]["name"], ran["stdin"]) == ("python", "a.py", "")


async def test_the_end_by_a_signal(executor: FakeExecutor, host: str) -> None:
    async def time_out(websocket: WebSocket) -> None:
        await websocket.send_json({"type": "result", **RESULT, "status": "timeout", "exit_code": None})

    executor.conversation = time_out
    frames, closed = await talk(host, {**INIT, "run_timeout": 10, "stdin": "no effect", "args": [1]})
    assert frames == [*STARTED, {"type": "exit", "stage": "run", "code": None, "signal": "SIGKILL"}]
    assert closed == COMPLETED
    (ran,) = executor.ran
    assert (ran["timeout"], ran["stdin"], ran["args"]) == (0.01, "", ["1"])


@pytest.mark.parametrize(
    ("first", "closed"),
    [
        (data("a"), (4003, "Not yet initialized")),
        (interrupt("SIGINT"), (4003, "Not yet initialized")),
    ],
)
async def test_out_of_place_before_init(
    executor: FakeExecutor, host: str, first: Frame, closed: tuple[int, str]
) -> None:
    assert await talk(host, first) == ([], closed)
    assert executor.ran == []


@pytest.mark.parametrize(
    ("later", "closed"),
    [
        (INIT, (4000, "Already Initialized")),
        (data("a", "stdout"), (4004, "Can only write to stdin")),
        (data("a", "stdin2"), (4004, "Can only write to stdin")),
        (interrupt("SIGFOO"), (4005, "Invalid signal")),
        (interrupt(9), (4005, "Invalid signal")),
        (interrupt(["SIGINT"]), (4005, "Invalid signal")),
        (interrupt(None), (4005, "Invalid signal")),
    ],
)
async def test_out_of_place_after_init(
    executor: FakeExecutor, host: str, later: Frame, closed: tuple[int, str]
) -> None:
    assert await talk(host, INIT, started=2, then=[later]) == (STARTED, closed)
    assert await asyncio.to_thread(executor.gone.wait, 5)


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("{", "not JSON"),
        ("null", "body"),
        ({**INIT, "language": "cobol"}, "cobol-3.10.0 runtime is unknown"),
        ({**INIT, "files": []}, "files must include at least one utf8 encoded file"),
        ({**INIT, "files": [{"name": "../x", "content": "1"}]}, "files.0.name"),
        ({**INIT, "run_timeout": 30_001}, "run_timeout cannot exceed the configured limit of 30000"),
        ({**INIT, "args": [[]] * 600}, "more than 500 values"),
        (json.dumps(INIT) + " " * 10_000_000, "longer"),
    ],
)
async def test_refusals(executor: FakeExecutor, host: str, first: Frame | str, message: str) -> None:
    (frame,), closed = await talk(host, first)
    assert (frame["type"], closed) == ("error", NOTIFIED)
    assert message in frame["message"]
    assert executor.ran == []


async def test_too_much_input(executor: FakeExecutor, host: str) -> None:
    (*started, error), closed = await talk(host, INIT, started=2, then=[data("x" * 40_000)] * 2)
    assert (started, error["type"], closed) == (STARTED, "error", NOTIFIED)
    assert "the limit is 65536" in error["message"]


async def test_a_client_that_does_not_begin(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "_START_SECONDS", 0.05)
    assert await talk(host) == ([], (4001, "Initialization Timeout"))


async def test_refusals_of_the_platform(executor: FakeExecutor) -> None:
    executor.answers["/environments"] = refuses(Code.BUSY, 5)
    with listening(executor, REQUESTS_PER_MINUTE="1") as host:
        assert await talk(host, INIT) == ([{"type": "error", "message": "because"}], NOTIFIED)
        (limited,), closed = await talk(host, INIT)
        async with httpx.AsyncClient() as client:
            refusals = (await client.get(f"http://{host}/stats")).json()["refusals"]
    assert "1 executions a minute" in limited["message"]
    assert closed == NOTIFIED
    assert refusals == {"busy": 1, "rate_limited": 1}


async def test_pages_of_other_origins(host: str) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://{host}/api/v2/connect", origin="https://stranger.example"):  # type: ignore[arg-type] # a NewType
            pass
    assert refused.value.response.status_code == 403
