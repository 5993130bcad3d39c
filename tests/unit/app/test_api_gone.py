"""Clients that disconnect: counted with status 499, and never as a fault of the platform."""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.websockets import WebSocket

from app.wire import admission
from app.wire.problems import Code
from tests.unit.app.api_process import ApiProcess, running
from tests.unit.app.fake_executor import RESULT, FakeExecutor
from tests.unit.app.fake_visitor import listening
from tests.unit.app.raw_client import TEXT, connected, frame, head_of, opened, post

RUN = b'{"environment": "python", "code": "1"}'
START = b'{"type": "start", "environment": "python", "code": "1"}'
OUR_FAULTS = {"busy", "engine_unavailable", "executor_unavailable", "rate_store_unavailable", "internal_error"}
"""Reasons that count against the objective `answered`: see monitoring/prometheus/rules/slo.yml."""


@pytest.fixture(scope="module")
def shared(_executor: FakeExecutor) -> Iterator[ApiProcess]:
    """The api, started once for this module's tests."""
    with running(_executor) as found:
        yield found


@pytest.fixture
def api(shared: ApiProcess, executor: FakeExecutor) -> ApiProcess:
    """An api whose executor writes output for 5 seconds, and takes 5 seconds to answer."""

    async def slow(_: Request) -> Response:
        await asyncio.sleep(5)
        return JSONResponse(RESULT)

    async def talk(websocket: WebSocket) -> None:
        for _ in range(500):
            await websocket.send_json({"type": "output", "stream": "stdout", "data": "x" * 1000})
            await asyncio.sleep(0.01)
        await websocket.send_json({"type": "result", **RESULT})

    executor.answers["/execute"] = slow
    executor.conversation = talk
    return shared.from_now()


def reset(connection: socket.socket) -> None:
    """Close the connection with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def body_broken_off(port: int, path: str = "/execute") -> None:
    with connected(port) as connection:
        connection.sendall(post(path, RUN[:10], length=len(RUN)))


def body_reset(port: int) -> None:
    connection = connected(port)
    connection.sendall(post("/execute", RUN[:10], length=len(RUN)))
    time.sleep(0.1)
    reset(connection)


def malformed_chunks(port: int) -> None:
    with connected(port) as connection:
        head = "POST /execute HTTP/1.1", "Host: api", "Content-Type: application/json", "Transfer-Encoding: chunked"
        connection.sendall("\r\n".join([*head, "", "5\r\nabcde\r\nnonsense\r\n"]).encode())
        assert head_of(connection).startswith(b"HTTP/1.1 400")


def hang_up_while_it_runs(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(post("/execute", RUN))
        time.sleep(0.2)


def events_closed(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(post("/execute", RUN, "Accept: text/event-stream"))
        assert b"200" in head_of(connection)


def events_reset(port: int) -> None:
    connection = connected(port)
    connection.sendall(post("/execute", RUN, "Accept: text/event-stream"))
    assert b"200" in head_of(connection)
    reset(connection)


def batch_closed(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(post("/execute/batch", RUN[:-1] + b', "inputs": [{}, {}, {}]}'))
        time.sleep(0.2)


def websocket_reset(port: int) -> None:
    connection = opened(port)
    connection.sendall(frame(TEXT, START))
    connection.recv(100)
    reset(connection)


def websocket_reset_before_its_start(port: int) -> None:
    reset(opened(port))


def websocket_reset_in_the_handshake(port: int) -> None:
    connection = connected(port)
    head = "GET /execute/stream HTTP/1.1", "Host: api", "Connection: Upgrade", "Upgrade: websocket"
    more = "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
    connection.sendall("\r\n".join([*head, *more, "", ""]).encode())
    reset(connection)


def text_that_is_not_utf8(port: int) -> None:
    with opened(port) as connection:
        connection.sendall(frame(TEXT, b"\xff"))
        time.sleep(0.2)


def frames_against_the_protocol(port: int) -> None:
    with opened(port) as connection:
        connection.sendall(frame(TEXT, START) + frame(7, b"x"))
        time.sleep(0.2)


def compressed_nonsense(port: int) -> None:
    with opened(port) as connection:
        connection.sendall(frame(TEXT, b"nonsense", compressed=True))
        time.sleep(0.2)


GONE: dict[str, Callable[[int], None]] = {
    "body broken off": body_broken_off,
    "body of Piston's broken off": lambda port: body_broken_off(port, "/api/v2/execute"),
    "body of codapi's broken off": lambda port: body_broken_off(port, "/v1/exec"),
    "body reset": body_reset,
    "malformed chunks": malformed_chunks,
    "hang up while it runs": hang_up_while_it_runs,
    "events closed": events_closed,
    "events reset": events_reset,
    "batch closed": batch_closed,
    "WebSocket reset": websocket_reset,
    "WebSocket reset before its start": websocket_reset_before_its_start,
    "WebSocket reset in the handshake": websocket_reset_in_the_handshake,
    "text that is not UTF-8": text_that_is_not_utf8,
    "frames against the protocol": frames_against_the_protocol,
    "compressed nonsense": compressed_nonsense,
}


@pytest.mark.parametrize("kind", GONE)
def test_a_client_that_disconnects_is_counted_and_is_no_error(api: ApiProcess, kind: str) -> None:
    GONE[kind](api.port)
    deadline = time.monotonic() + 4
    while not (gone := api.figures("api_clients_gone")):
        assert time.monotonic() < deadline, "it was not counted"
        time.sleep(0.05)
    time.sleep(0.1)
    assert list(gone.values()) == [1]
    (route,) = (labels for _, labels in gone)
    assert api.figures("api_requests")["api_requests_total", "499", route] == 1
    assert not OUR_FAULTS & {reason for _, reason in api.figures("api_refusals")}
    assert [line["status"] for line in api.lines if line["message"] == "client disconnected"] == [499]
    assert quiet(api)


def quiet(api: ApiProcess) -> bool:
    """Check that its log has no error and no stack trace."""
    bad = [line for line in api.lines if line["level"] not in {"info", "warning"} or "exception" in line]
    assert bad == []
    return True


def test_a_refused_origin_logs_no_error(api: ApiProcess) -> None:
    with pytest.raises(AssertionError):
        opened(api.port, "Origin: https://stranger.example")
    assert api.figures("api_refusals") == {("api_refusals_total", "origin_not_allowed"): 1}
    assert api.figures("api_clients_gone") == {}
    assert quiet(api)


def test_malformed_requests_log_no_error(api: ApiProcess) -> None:
    for nonsense in (b"nonsense\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"GET /\x80 HTTP/1.1\r\n\r\n"):
        with connected(api.port) as connection:
            connection.sendall(nonsense)
    with connected(api.port) as connection:  # A malformed request is pipelined behind a valid one.
        connection.sendall(b"GET /stats HTTP/1.1\r\nHost: api\r\n\r\nnonsense\r\n\r\n")
        head_of(connection)
    with connected(api.port) as connection:  # The refusal comes before the body, which is malformed.
        connection.sendall(b"POST /nowhere HTTP/1.1\r\nHost: api\r\nTransfer-Encoding: chunked\r\n\r\n")
        assert b"404" in head_of(connection)
        connection.sendall(b"nonsense\r\n")
    handshake = [f"X-{number}: x" for number in range(200)]
    with pytest.raises(AssertionError):  # more header lines than the WebSocket library takes
        opened(api.port, *handshake)
    time.sleep(0.2)
    assert quiet(api)


def test_a_stalled_body_is_answered_with_408(executor: FakeExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "_BODY_SECONDS", 0.2)
    with listening(executor) as host, connected(int(host.split(":")[1])) as connection:
        connection.sendall(post("/execute", RUN[:10], length=len(RUN)))
        assert head_of(connection).startswith(b"HTTP/1.1 408")
        assert json.loads(connection.recv(4096))["code"] == Code.BODY_TOO_LATE
        with connected(int(host.split(":")[1])) as another:
            another.sendall(b"GET /stats HTTP/1.1\r\nHost: api\r\nConnection: close\r\n\r\n")
            head_of(another)
            assert json.loads(another.recv(4096))["refusals"] == {}
