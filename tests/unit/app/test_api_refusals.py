"""Refused requests: their cost, the formats of bodies that are accepted, and the media type of an answer."""

import asyncio
import gzip
import json
import re
import time
import tracemalloc
from collections.abc import Iterator

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from app.wire.admission import parse
from app.wire.media import preferred
from app.wire.problems import Code, Problem
from app.wire.protocol import Execution
from tests.unit.app.fake_executor import RESULT, FakeExecutor
from tests.unit.app.fake_visitor import api, listening
from tests.unit.app.refused_bodies import BODIES

pytestmark = pytest.mark.anyio

KB = 1024
BODY = {
    "/execute": {"environment": "python", "code": "print(1)"},
    "/execute/batch": {"environment": "python", "code": "print(1)", "inputs": [{}]},
    "/packages": {"environment": "python", "packages": ["rich"]},
    "/api/v2/execute": {"language": "python", "version": "*", "files": [{"content": "print(1)"}]},
    "/api/v2/piston/execute": {"language": "python", "version": "*", "files": [{"content": "print(1)"}]},
    "/v1/exec": {"sandbox": "python", "files": {"": "print(1)"}},
}
JSON = {"Content-Type": "application/json"}


async def test_these_are_all_paths_that_take_a_body(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    # Those two are off here. test_api_agents.py and test_api_rooms.py test their bodies.
    assert {path for path, operations in paths.items() if "post" in operations} == {*BODY, "/mcp", "/rooms"}


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def said(response: httpx.Response) -> str:
    """The reason in a refusal of any of the interfaces."""
    found = response.json()
    return str(found.get("detail") or found.get("message") or found.get("stderr"))


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("path", "kind"), BODIES)
async def test_a_refusal_costs_a_few_times_its_body(executor: FakeExecutor, path: str, kind: str) -> None:
    body = BODIES[path, kind]
    async with api(executor) as client:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        response = await client.post(path, content=body, headers=JSON)
        _, peak = tracemalloc.get_traced_memory()
    assert 400 <= response.status_code < 500
    assert len(response.content) < 8 * KB
    assert peak - before < 8 * len(body) + 1024 * KB


@pytest.mark.parametrize("kind", [kind for path, kind in BODIES if path == "/execute"])
async def test_the_first_frame_of_a_stream_is_refused_as_cheaply(executor: FakeExecutor, kind: str) -> None:
    frame = BODIES["/execute", kind].decode()
    with listening(executor) as host:
        async with connect(f"ws://{host}/execute/stream", max_size=8 * KB) as connection:
            started = time.perf_counter()
            await connection.send(frame)
            found = json.loads(await connection.recv())
            seconds = time.perf_counter() - started
    assert found["type"] == "problem"
    assert seconds < 1


@pytest.mark.usefixtures("traced")
@pytest.mark.parametrize(("path", "field", "items"), [("/execute", "files", 249), ("/execute/batch", "inputs", 999)])
async def test_the_most_wrong_items_that_are_validated_cost_little(
    executor: FakeExecutor, path: str, field: str, items: int
) -> None:
    async with api(executor) as client:
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        response = await client.post(path, json={"environment": "python", field: [{"a": 1}] * items})
        _, peak = tracemalloc.get_traced_memory()
    assert response.json()["code"] == Code.INVALID_REQUEST
    assert re.search("; and [0-9]+ more.$", said(response))
    assert peak - before < 3 * 1024 * KB


def test_the_largest_valid_execution_is_accepted() -> None:
    files = [{"name": f"{number}.py", "content": "[{,", "encoding": "utf8"} for number in range(32)]
    start = {"files": files, "args": ["[,"] * 64, "results": ["*"] * 32, "stdin": "[" * 1000, "main": "0.py"}
    parse(Execution, json.dumps({"environment": "python", "timeout": 1, **start}))


@pytest.mark.parametrize("path", BODY)
@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json", 200),
        ("Application/JSON; Charset=UTF-8", 200),
        ('application/json;charset="utf8"', 200),
        ("application/json; charset=iso-8859-1", 415),
        ("application/json; charset=us-ascii", 415),
        ("text/plain", 415),
        ("text/plain; application/json", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=a", 415),
        ("application/jsonp", 415),
        ("application/problem+json", 415),
        ("*/*", 415),
        ("", 415),
        (None, 415),
    ],
)
async def test_a_body_is_json_by_its_content_type(
    executor: FakeExecutor, path: str, content_type: str | None, status: int
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    async with api(executor) as client:
        response = await client.post(path, content=json.dumps(BODY[path]), headers=headers)
    runs = path != "/packages"  # Packages are off here: a valid body gets 400.
    assert response.status_code == (status if runs or status != 200 else 400)
    assert ("application/json" in said(response) or "charset" in said(response)) is (status == 415)
    assert bool(executor.ran) is (runs and status == 200)


@pytest.mark.parametrize("path", BODY)
@pytest.mark.parametrize("coding", ["gzip", "GZIP", "br", "gzip, identity"])
async def test_a_refused_compressed_body_is_named_by_its_coding(executor: FakeExecutor, path: str, coding: str) -> None:
    content = gzip.compress(json.dumps(BODY[path]).encode())
    async with api(executor) as client:
        response = await client.post(path, content=content, headers={**JSON, "Content-Encoding": coding})
    assert response.status_code == 415
    assert coding.lower() in said(response)


async def test_a_foreign_page_can_run_nothing_without_a_preflight(executor: FakeExecutor) -> None:
    headers = {"Content-Type": "text/plain", "Origin": "https://evil.example"}
    async with api(executor) as client:
        response = await client.post("/execute", content=json.dumps(BODY["/execute"]), headers=headers)
    assert response.json()["code"] == Code.UNSUPPORTED_MEDIA_TYPE
    assert executor.ran == []


@pytest.mark.parametrize(
    ("request_line", "status", "code"),
    [
        ("BREW / HTTP/1.1", 405, Code.METHOD_NOT_ALLOWED),
        ("DELETE /execute HTTP/1.1", 405, Code.METHOD_NOT_ALLOWED),
        (f"GET /{'a' * 65536} HTTP/1.1", 414, Code.URI_TOO_LONG),
        (f"GET /{'a' * 32000} HTTP/1.1", 404, Code.NOT_FOUND),
        ("GET / HTTP/x", 400, Code.MALFORMED_REQUEST),
        ("GET /\x80 HTTP/1.1", 400, Code.MALFORMED_REQUEST),
        ("GET /execute/stream HTTP/1.1", 426, Code.UPGRADE_REQUIRED),
        ("POST /execute/stream HTTP/1.1", 405, Code.METHOD_NOT_ALLOWED),
    ],
)
async def test_a_malformed_request_is_refused_with_a_problem(
    executor: FakeExecutor, request_line: str, status: int, code: Code
) -> None:
    with listening(executor) as host:
        reader, writer = await asyncio.open_connection(*host.split(":"))
        writer.write(f"{request_line}\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode("latin-1"))
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    found = Problem.model_validate_json(body)
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (found.status, found.code) == (status, code)
    headers = head.lower()
    assert b"content-type: application/problem+json" in headers
    assert b"x-request-id: " in headers
    assert (b"allow: " in headers) is (status == 405)
    assert (b"upgrade: websocket" in headers) is (status == 426)
    assert len(body) < 8 * KB


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET /execute/stream", "", 426),
        ("GET /execute/stream", "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 426),
        ("GET /execute/stream", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n", 426),
        ("POST /execute/stream", "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", 405),
        ("GET /health", "", 200),
    ],
)
async def test_a_malformed_handshake_is_refused_with_a_problem(
    executor: FakeExecutor, request_line: str, headers: str, status: int
) -> None:
    with listening(executor) as host:
        reader, writer = await asyncio.open_connection(*host.split(":"))
        upgrade = f"Host: {host}\r\nConnection: upgrade, close\r\nUpgrade: websocket\r\n"
        writer.write(f"{request_line} HTTP/1.1\r\n{upgrade}{headers}\r\n".encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    if status != 200:
        assert Problem.model_validate_json(body).status == status
        assert (b"sec-websocket-version: 13" in head.lower()) is (status == 426)


async def test_a_websocket_at_another_path_is_refused_with_a_problem(executor: FakeExecutor) -> None:
    with listening(executor) as host, pytest.raises(InvalidStatus) as caught:
        async with connect(f"ws://{host}/nothing"):
            pass
    assert caught.value.response.status_code == 404
    assert json.loads(caught.value.response.body or b"")["code"] == Code.NOT_FOUND


STREAM, WHOLE = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("", WHOLE),
        ("*/*", WHOLE),
        ("*", WHOLE),
        ("text/html", WHOLE),
        (STREAM, STREAM),
        ("Text/Event-Stream", STREAM),
        ("text/*", STREAM),
        (f"{WHOLE}, {STREAM};q=0", WHOLE),
        (f"{STREAM};q=0.0, */*", WHOLE),
        (f"{STREAM};q=0", WHOLE),
        (f"{WHOLE};q=0.5, {STREAM}", STREAM),
        (f"{WHOLE}, {STREAM};q=0.9", WHOLE),
        (f"{WHOLE}, {STREAM}; Q=0.9", WHOLE),
        (f"{WHOLE}, {STREAM}", WHOLE),
        (f"{STREAM}, {WHOLE}", STREAM),
        (f"*/*, {STREAM}", STREAM),
        (f"{STREAM}, */*", STREAM),
        (f"*/*;q=0.9, {STREAM};q=0.1", WHOLE),
        (f"*/*, {WHOLE};q=0", STREAM),
        (f"text/*;q=0.8, {STREAM};q=0, {WHOLE};q=0.1", WHOLE),
        (f"{STREAM};charset=utf-8", STREAM),
        (f"{STREAM};q=nonsense", WHOLE),
        (f"{STREAM};q=2, {WHOLE};q=0.1", WHOLE),
        (f"{STREAM};q=nan", WHOLE),
        ("text/event-streams", WHOLE),
    ],
)
def test_the_accept_header_is_read_as_rfc_9110_says(accept: str, chosen: str) -> None:
    assert preferred(accept, (WHOLE, STREAM)) == chosen


async def test_accept_chooses_the_answer(executor: FakeExecutor) -> None:
    with listening(executor) as host:
        async with httpx.AsyncClient(base_url=f"http://{host}") as client:
            for accept, chosen in ((f"{WHOLE}, {STREAM};q=0", WHOLE), (STREAM.upper(), STREAM)):
                response = await client.post("/execute", json=BODY["/execute"], headers={"Accept": accept})
                assert response.headers["content-type"].partition(";")[0] == chosen
            lines = [("Accept", f"{WHOLE};q=0.1"), ("Accept", STREAM)]
            response = await client.post("/execute", json=BODY["/execute"], headers=lines)
    assert response.headers["content-type"].startswith(STREAM)


@pytest.mark.parametrize(
    ("files", "detail"),
    [
        (
            [{"name": "./main.py", "content": "1"}],
            "files.0.name: a file's name is relative and has no part that is empty, '.' or '..'.",
        ),
        ([{"name": "a\nb", "content": "1"}], "files.0.name: a file's name can't contain a control character."),
        ([], "files: Tuple should have at least 1 item after validation, not 0."),
    ],
)
async def test_one_cause_is_told_in_one_sentence(executor: FakeExecutor, files: list[object], detail: str) -> None:
    async with api(executor) as client:
        response = await client.post("/execute", json={"environment": "python", "files": files})
    assert (response.status_code, response.json()["detail"]) == (422, detail)


@pytest.mark.parametrize("name", ["\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.py", "a\u00a0b.py", "\u200d.py"])
async def test_file_names_of_other_scripts_are_accepted(executor: FakeExecutor, name: str) -> None:
    async with api(executor) as client:
        files = [{"name": name, "content": "1"}]
        response = await client.post("/execute", json={"environment": "python", "files": files})
    assert response.status_code == 200
    assert executor.ran[0]["files"][0]["name"] == name


@pytest.mark.parametrize(
    ("alias", "name"), [("py", "python"), ("js", "node"), ("sh", "bash"), ("nonsense", "nonsense")]
)
async def test_an_environments_aliases_are_accepted(executor: FakeExecutor, alias: str, name: str) -> None:
    async with api(executor) as client:
        response = await client.post("/execute", json={"environment": alias, "code": "1"})
    assert response.json() == RESULT
    assert executor.ran[0]["environment"] == name


async def test_a_refused_client_that_still_sends_gets_the_refusal(executor: FakeExecutor) -> None:
    with listening(executor) as host:
        reader, writer = await asyncio.open_connection(*host.split(":"))
        writer.write(b"GET /" + 64 * KB * b"a")
        head = await reader.readuntil(b"\r\n")
        writer.write(900 * KB * b"a")
        await writer.drain()
        rest = await reader.read()
        writer.close()
    assert head.startswith(b"HTTP/1.1 414 ")
    assert b"uri_too_long" in rest


async def test_a_refused_client_that_never_stops_sending_is_cut_off(executor: FakeExecutor) -> None:
    with listening(executor) as host:
        _, writer = await asyncio.open_connection(*host.split(":"))
        with pytest.raises(ConnectionError):
            for _ in range(16 * KB):
                writer.write(64 * KB * b"a")
                await writer.drain()
        writer.close()
