"""Thousands of malformed requests: none is answered with a fault of the platform, and none hangs."""

import copy
import json
import os
import re
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from tests.sandbox.conftest import IMAGES
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform
from tools.machine import docker_engine
from tools.machine.docker_engine import DockerEngine

HANG_SECONDS = 30
"""Longer than any answer takes here: the queue, a sandbox and the shortest timeout on a busy machine."""
INTERNAL_ERROR = 1011
"""Close code of a WebSocket when the server's own code has failed."""

bounded = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large]
)

START = {
    "environment": "python",
    "files": [{"name": "main.py", "content": "cHJpbnQoMSk=", "encoding": "base64"}],
    "main": "main.py",
    "stdin": "x",
    "args": ["a"],
    "timeout": 1,
    "packages": [],
    "results": ["*"],
}
PISTON = {
    "language": "python",
    "version": "*",
    "files": [{"name": "main.py", "content": "print(1)", "encoding": "utf8"}],
    "stdin": "",
    "args": [],
    "run_timeout": 1000,
    "run_memory_limit": -1,
}
BODIES: dict[str, dict[str, Any]] = {
    "/execute": START,
    "/execute/batch": {**START, "inputs": [{"stdin": "y", "args": ["b"], "files": []}, {}], "stop_at_failure": True},
    "/rooms": {"environment": "python", "files": [{"name": "main.py", "content": "print(1)"}], "stdin": "x"},
    "/packages": {"environment": "python", "packages": ["rich>=14"]},
    "/api/v2/execute": PISTON,
    "/api/v2/piston/execute": PISTON,
    "/mcp": {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "run_code", "arguments": START, "_meta": {"progressToken": 1}},
    },
    "/v1/exec": {"sandbox": "python", "version": "", "command": "run", "files": {"": "print(1)"}},
}
"""A valid request for each path. The tests send mutations of it."""

text = st.text(max_size=40) | st.sampled_from(["\0", "\ud800", "../../etc/passwd", "{}", "%s%n", "x" * 70_000])
numbers = st.integers() | st.floats() | st.sampled_from([2**63, -(2**63) - 1, 10**400, 1e308, -0.0])
values = st.recursive(
    st.none() | st.booleans() | numbers | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn, valid: Any) -> Any:
    """A copy of `valid` in which up to three values, at any depth, are replaced or removed, or others added."""
    body = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 3))):
        target = body
        while True:
            keys = list(target) if isinstance(target, dict) else range(len(target))
            key = draw(st.sampled_from(keys)) if keys else None
            if key is not None and isinstance(target[key], dict | list) and draw(st.booleans()):
                target = target[key]
                continue
            match draw(st.sampled_from(["replace", "remove", "add"])):
                case "replace" if key is not None:
                    target[key] = draw(values)
                case "remove" if key is not None:
                    del target[key]
                case _ if isinstance(target, dict):
                    target[draw(text)] = draw(values)
                case _:
                    target.append(draw(values))
            break
    return body


@st.composite
def damaged(draw: st.DrawFn, body: Any) -> bytes:
    """The JSON of `body` as bytes, possibly damaged so that they are no JSON any more."""
    data = json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    match draw(st.sampled_from(["whole", "whole", "cut", "twice", "bytes", "bom", "utf-16", "deep", "noise"])):
        case "cut":
            data = data[: draw(st.integers(0, len(data)))]
        case "twice":
            data += data
        case "bytes":
            at = draw(st.integers(0, len(data)))
            data = data[:at] + draw(st.binary(min_size=1, max_size=8)) + data[at:]
        case "bom":
            data = b"\xef\xbb\xbf" + data
        case "utf-16":
            data = data.decode("utf-8", "replace").encode("utf-16")
        case "deep":
            depth = draw(st.integers(100, 100_000))
            data = b'{"environment":' + b"[" * depth + b"]" * depth + b"}"
        case "noise":
            data = draw(st.binary(max_size=200))
    return data


header_values = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60)
header_names = st.sampled_from(
    [
        *("content-type", "accept", "content-encoding", "origin", "x-forwarded-for", "x-request-id", "traceparent"),
        *(
            "range",
            "expect",
            "upgrade",
            "if-none-match",
            "cookie",
            "x-forwarded-proto",
            "idempotency-key",
            "authorization",
        ),
        *("mcp-protocol-version", "mcp-method", "mcp-name", "mcp-session-id", "authorization"),
        "access-control-request-method",
    ]
)
headers = st.dictionaries(
    header_names,
    header_values
    | st.sampled_from(
        [
            "text/event-stream",
            "gzip",
            "2026-07-28",
            "Bearer x",
            "application/json",
            "00-0-0-0",
            "::1",
            "1.2.3.4, [",
            "websocket",
        ]
    ),
    max_size=3,
)


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """One platform for all requests. After them it must still be healthy and run code."""
    name, folder = f"vps-fuzz-{uuid.uuid4().hex[:8]}-executor", tmp_path_factory.mktemp("fuzz") / "platform"
    host = Host(DockerEngine(docker_engine.configured_url()))
    options = {
        "API_MCP": "true",
        "API_ROOMS": '{"rooms_of_client": 1000}',
        "API_ROOMS_FOLDER": str(tmp_path_factory.mktemp("rooms")),
    }
    platform = Platform(host, name, list(json.loads(os.environ[IMAGES])), folder, **options)
    try:
        yield platform.start()
        assert platform.health().json()["status"] == "ok"
        assert platform.run("python", "print(1)")["stdout"] == "1\n"
    finally:
        platform.stop()


@pytest.fixture(scope="module")
def client(platform: Platform) -> Iterator[httpx.Client]:
    """A client whose requests time out."""
    with httpx.Client(base_url=platform.url, timeout=HANG_SECONDS) as client:
        yield client


def _accept(status: int, body: bytes) -> None:
    """Accept any answer except a fault of the platform. To be busy is not a fault."""
    busy = status == 503 and json.loads(body)["code"] == "busy"
    assert status < 500 or busy, (status, body)


def test_every_operation_with_a_body_is_attacked(client: httpx.Client) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    assert {path for path, operations in paths.items() if "post" in operations} == set(BODIES)


@pytest.mark.parametrize("path", BODIES)
def test_mutated_bodies(client: httpx.Client, path: str) -> None:
    @bounded
    @given(mutated(BODIES[path]).flatmap(damaged), headers)
    def attempt(body: bytes, extra: dict[str, str]) -> None:
        response = client.post(path, content=body, headers={"content-type": "application/json", **extra})
        _accept(response.status_code, response.content)

    attempt()


@bounded
@given(
    st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "POST", "TRACE", "BREW"]),
    st.sampled_from(["/", "/execute", "/environments", "/health", "/stats", "/openapi.json", "/docs", "/metrics", "//"])
    | st.binary(max_size=60).map(lambda path: "/" + quote(path, safe="/?&=;:@")),
    headers,
)
def test_paths_and_methods(client: httpx.Client, method: str, path: str, extra: dict[str, str]) -> None:
    response = client.request(method, client.base_url.copy_with(raw_path=path.encode()), headers=extra)
    _accept(response.status_code, response.content)


lines = st.binary(max_size=60) | st.sampled_from(
    [
        *(b"POST /execute HTTP/1.1", b"GET / HTTP/1.1", b"GET /health HTTP/9.9", b"PRI * HTTP/2.0"),
        *(b"GET http://x/ HTTP/1.1", b"Host: x", b"\0: \xff", b"A: " + b"b" * 100_000, b" folded", b"", b"{}{}{}"),
        *(b"Content-Length: 5", b"Content-Length: -1", b"Content-Length: 99999999999999999999"),
        *(b"Transfer-Encoding: chunked", b"Transfer-Encoding: xchunked", b"ffffffffffffffff", b"5"),
        *(b"Connection: upgrade", b"Upgrade: websocket", b"Expect: 100-continue", b"Content-Type: application/json"),
    ]
)


@bounded
@given(st.lists(lines, min_size=1, max_size=12), st.sampled_from([b"\r\n", b"\n", b"\r"]))
def test_bytes_that_are_not_quite_http(platform: Platform, sent: list[bytes], newline: bytes) -> None:
    address = urlsplit(platform.url)
    with socket.create_connection((address.hostname, address.port), HANG_SECONDS) as connection:
        try:
            connection.sendall(newline.join(sent) + newline * 2)
            connection.shutdown(socket.SHUT_WR)
            answer = b"".join(iter(lambda: connection.recv(65536), b""))
        except TimeoutError:
            raise
        except OSError:  # it was refused before all of it was sent
            return
    for part in re.split(rb"HTTP/1\.1 (?=\d{3} )", answer)[1:]:
        _accept(int(part[:3]), part.partition(b"\r\n\r\n")[2])


frames = st.sampled_from(
    [{"type": "stdin", "data": "x"}, {"type": "stdin_end"}, {"type": "signal", "signal": "SIGINT"}, {"type": "cancel"}]
)
messages = (
    mutated({"type": "start", **START}).flatmap(damaged)
    | frames.flatmap(mutated).flatmap(damaged)
    | st.just(json.dumps({"type": "start", **START}).encode())
    | st.binary(max_size=60)
)


@settings(bounded, max_examples=60)
@given(st.lists(st.tuples(messages, st.booleans()), max_size=4))
def test_frames(platform: Platform, sent: list[tuple[bytes, bool]]) -> None:
    """Frames as text or bytes, in any order. The server answers, sends a problem or closes, always in time."""
    deadline = time.monotonic() + HANG_SECONDS
    with connect(f"{platform.url.replace('http', 'ws', 1)}/execute/stream", open_timeout=HANG_SECONDS) as connection:
        try:
            for message, as_text in sent:
                connection.send(message.decode("utf-8", "replace") if as_text else message)
            connection.send(json.dumps({"type": "cancel"}))
            while True:
                connection.recv(deadline - time.monotonic())
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "cut off without a close"
            assert closed.rcvd.code != INTERNAL_ERROR, closed


@pytest.fixture(scope="module")
def room(client: httpx.Client) -> tuple[str, str]:
    """The id of a room and the token for editing."""
    made = client.post("/rooms", json={"environment": "python"}).json()
    return made["id"], made["edit"].partition("token=")[2]


def _sized(message: tuple[bytes, bytes]) -> bytes:
    kind, content = message
    return kind + bytes([len(content)]) + content


updates = st.lists(
    st.sampled_from([b"\x00", b"\x01", b"\x04", b"\x05", b"\x27", b"\x84", b"\x05files", b"w\x01a"]), max_size=30
)
room_messages = (
    st.binary(max_size=60)
    | st.tuples(st.sampled_from([b"\x00\x00", b"\x00\x01", b"\x00\x02", b"\x01"]), st.binary(max_size=60)).map(_sized)
    | st.tuples(st.sampled_from([b"\x00\x01", b"\x00\x02"]), updates.map(b"".join)).map(_sized)
)


@settings(bounded, max_examples=60)
@given(st.lists(st.tuples(room_messages | messages, st.booleans()), max_size=4), st.sampled_from(["sync", "runs"]))
def test_what_is_sent_to_a_room(
    platform: Platform, room: tuple[str, str], sent: list[tuple[bytes, bool]], kind: str
) -> None:
    """Messages as text or bytes. The server answers, or closes with a code that says why; the room stays as it was."""
    id, token = room
    url = f"{platform.url.replace('http', 'ws', 1)}/rooms/{id}/{kind}"
    protocols = [Subprotocol("vps-room"), Subprotocol(f"token.{token}")]
    with connect(url, subprotocols=protocols, open_timeout=HANG_SECONDS) as connection:
        try:
            for message, as_text in sent:
                connection.send(message.decode("utf-8", "replace") if as_text else message)
            # The last one is refused, if none before it was.
            connection.send("x" if kind == "sync" else b"x")
            deadline = time.monotonic() + HANG_SECONDS
            while True:
                connection.recv(deadline - time.monotonic())
        except ConnectionClosed as closed:
            assert closed.rcvd is not None, "cut off without a close"
            assert closed.rcvd.code in {1012, 4413, 4422, 4429}, closed
