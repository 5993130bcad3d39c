"""The api's memory stays bounded, whatever one connection sends or does not read."""

import asyncio
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from socket import socket

import pytest
from starlette.websockets import WebSocket

from app.api.rooms.document import first_update
from app.api.rooms.store import Store
from tests.unit.app import room_member
from tests.unit.app.api_process import ApiProcess, running
from tests.unit.app.fake_executor import RESULT, FakeExecutor, says
from tests.unit.app.raw_client import CONTINUATION, PING, TEXT, connected, flood, frame, opened, post

_GROWTH_MB = 16
"""The container has 192 MB; the process takes 50 MB when it has just started."""
RUN = b'{"environment": "python", "code": "1"}'
CHUNKED = b"POST /execute HTTP/1.1\r\nHost: api\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


@dataclass(frozen=True)
class Shared:
    """The api of this module's tests, and the memory in MB that it had when it was fresh."""

    process: ApiProcess
    fresh_mb: float

    @property
    def grown_mb(self) -> float:
        """The peak memory of this test and of earlier floods in MB, above that of the fresh process."""
        return self.process.peak_mb - self.fresh_mb


@pytest.fixture(scope="module")
def shared(_executor: FakeExecutor) -> Iterator[Shared]:
    _executor.reset()
    with running(_executor) as found:
        yield Shared(found, found.peak_mb)


@pytest.fixture
def api(shared: Shared, executor: FakeExecutor) -> ApiProcess:
    shared.process.forget_peak()
    return shared.process.from_now()


def pings(port: int) -> socket:
    connection = opened(port)
    assert not flood(connection, frame(PING, b"x" * 125) * 1000, 400)
    return connection


def empty_messages(port: int) -> socket:
    connection = opened(port)
    flood(connection, frame(TEXT) * 50_000, 10)
    return connection


def fragments(port: int, data: bytes) -> socket:
    connection = opened(port)
    connection.sendall(frame(TEXT, last=False))
    flood(connection, frame(CONTINUATION, data, last=False) * 50_000, 24)
    return connection


def compressed_messages(port: int) -> socket:
    packer = zlib.compressobj(wbits=-12)
    megabyte = packer.compress(b" " * 1024 * 1024) + packer.flush(zlib.Z_SYNC_FLUSH)
    connection = opened(port)
    flood(connection, frame(TEXT, megabyte.removesuffix(b"\0\0\xff\xff"), compressed=True) * 200, 5)
    return connection


def endless_head(port: int, begin: bytes, more: bytes, times: int) -> socket:
    """A request of which `more` is sent again and again after `begin`."""
    connection = connected(port)
    connection.sendall(begin)
    assert not flood(connection, more, times)
    return connection


def pipelined_requests(port: int) -> socket:
    connection = connected(port)
    flood(connection, b"GET /page.js HTTP/1.1\r\nHost: api\r\n\r\n" * 5000, 20)
    return connection


def requests_behind_a_run(port: int) -> socket:
    connection = connected(port)
    connection.sendall(post("/execute", RUN))
    flood(connection, b"GET / HTTP/1.1\r\nHost: api\r\n\r\n" * 5000, 20)
    return connection


def a_body_after_its_refusal(port: int) -> socket:
    connection = connected(port)
    connection.sendall(post("/execute", b"", length=10**9))
    flood(connection, b" " * 65536, 500)
    return connection


FLOODS: dict[str, Callable[[int], socket]] = {
    "pings": pings,
    "empty messages": empty_messages,
    "empty fragments": lambda port: fragments(port, b""),
    "fragments of a byte": lambda port: fragments(port, b" "),
    "compressed messages": compressed_messages,
    "header lines": lambda port: endless_head(port, b"GET / HTTP/1.1\r\n", b"a: b\r\n" * 10_000, 200),
    "a header": lambda port: endless_head(port, b"GET / HTTP/1.1\r\na: ", b"a" * 65536, 500),
    "a URL": lambda port: endless_head(port, b"GET /", b"a" * 65536, 500),
    "blank lines": lambda port: endless_head(port, b"", b"\r\n" * 32_768, 500),
    "a trailer": lambda port: endless_head(port, CHUNKED + b"0\r\na: ", b"a" * 65536, 500),
    "trailers": lambda port: endless_head(port, CHUNKED + b"0\r\n", b"a: b\r\n" * 10_000, 200),
    "a chunk's extension": lambda port: endless_head(port, CHUNKED + b"1;a=", b"a" * 65536, 500),
    "pipelined requests": pipelined_requests,
    "requests behind a run": requests_behind_a_run,
    "a body after its refusal": a_body_after_its_refusal,
}


def a_slow_reader_of_events(port: int) -> socket:
    connection = connected(port)
    connection.sendall(post("/execute", RUN, "Accept: text/event-stream"))
    return connection


def a_slow_reader_of_a_websocket(port: int) -> socket:
    connection = opened(port)
    connection.sendall(frame(TEXT, b'{"type": "start", "environment": "python", "code": "1"}'))
    return connection


@pytest.mark.parametrize("reader", [a_slow_reader_of_events, a_slow_reader_of_a_websocket])
def test_unread_output_is_bounded_and_the_execution_cancelled(
    shared: Shared, api: ApiProcess, executor: FakeExecutor, reader: Callable[[int], socket]
) -> None:
    async def talk(websocket: WebSocket) -> None:
        while True:
            await websocket.send_json({"type": "output", "stream": "stdout", "data": "x" * 100_000})

    executor.conversation = talk
    with reader(api.port):
        assert executor.gone.wait(30)
        assert shared.grown_mb < _GROWTH_MB
        end = time.monotonic() + 30
        while list(api.figures("api_clients_gone").values()) != [1]:  # counted when the executor has ended
            assert time.monotonic() < end


def test_a_batch_waits_for_its_reader(shared: Shared, api: ApiProcess, executor: FakeExecutor) -> None:
    content = "x" * 1_400_000
    executor.answers["/execute"] = says({**RESULT, "files": [{"name": "a", "content": content, "size": 1_050_000}]})
    body = RUN[:-1] + b', "inputs": [' + b",".join([b"{}"] * 100) + b"]}"
    with connected(api.port) as connection:
        connection.sendall(post("/execute/batch", body))
        time.sleep(2)
        assert 0 < len(executor.ran) < 20
        # All hundred answers would be 140 MB.
        assert shared.grown_mb < 2 * _GROWTH_MB


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_over_one_connection_is_bounded(shared: Shared, api: ApiProcess, kind: str) -> None:
    with FLOODS[kind](api.port):
        assert shared.grown_mb < _GROWTH_MB
    with connected(api.port) as another:
        another.sendall(b"GET /health HTTP/1.1\r\nHost: api\r\n\r\n")
        assert another.recv(12) == b"HTTP/1.1 200"


@pytest.mark.anyio
async def test_memory_returns_when_rooms_are_left(executor: FakeExecutor, tmp_path: Path) -> None:
    content = first_update({"main.py": "x" * 20_000}, "", "python")
    with running(executor, API_ROOMS='{"members_of_client": 100}', API_ROOMS_FOLDER=str(tmp_path)) as server:
        store = Store(tmp_path)

        async def visited() -> None:
            links = store.make("a", content, 1000, 1000)
            async with room_member.opened(f"127.0.0.1:{server.port}", links.id, links.edit) as connection:
                await connection.send(b"\x00\x00\x01\x00")
                while len(await connection.recv()) < 20_000:
                    pass

        for _ in range(10):  # what connections take stays with the process for later ones
            await asyncio.gather(*(visited() for _ in range(20)))
        server.forget_peak()
        before = server.peak_mb
        for _ in range(10):
            await asyncio.gather(*(visited() for _ in range(20)))
        server.forget_peak()
        assert server.peak_mb - before < 8
        assert (await asyncio.to_thread(server.gauges, "api_room"))["api_rooms_open",] == 0
