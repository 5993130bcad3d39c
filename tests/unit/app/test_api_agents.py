"""The Model Context Protocol, by its official client, in front of a fake executor."""

import base64
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from starlette.websockets import WebSocket

from app.wire.problems import Code
from tests.unit.app.fake_executor import RESULT, FakeExecutor, refuses, says
from tests.unit.app.fake_visitor import api, listening
from tests.unit.app.keys_of_sites import SITE, bearer, key, write
from tests.unit.app.test_api import problem
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio

HELLO = {"environment": "python", "code": "print(1)"}
PICTURE = base64.b64encode(b"\x89PNG").decode()
HEADERS = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
CALL = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "run_code", "arguments": HELLO}}
VERSIONS = ("2026-07-28", "legacy")
"""The current protocol, and the one before with its handshake."""


@pytest.fixture(scope="module")
def address(_executor: FakeExecutor) -> Iterator[str]:
    with listening(_executor, MCP="true") as found:
        yield found


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_the_tools_are_listed(executor: FakeExecutor, address: str, version: str) -> None:
    async with Client(f"http://{address}/mcp", mode=version) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        listed = await client.call_tool("list_environments")
    assert set(tools) == {"run_code", "list_environments"}
    assert {"environment", "code", "files", "stdin", "timeout"} <= set(tools["run_code"].input_schema["properties"])
    assert listed.structured_content
    assert [it["name"] for it in listed.structured_content["environments"]] == ["python", "node", "typescript"]
    assert executor.ran == []


async def test_a_program_is_run_and_its_pictures_come_as_images(
    executor: FakeExecutor, address: str, version: str
) -> None:
    files = [
        {"name": name, "content": PICTURE, "encoding": "base64", "size": 4} for name in ("show-1.png", "table.csv")
    ]
    executor.answers["/execute"] = says({**RESULT, "status": "success", "error": None, "files": files})
    async with Client(f"http://{address}/mcp", mode=version) as client:
        found: Any = await client.call_tool("run_code", {**HELLO, "stdin": "in", "timeout": 3})
    assert not found.is_error
    text, image = found.content
    assert (text.text, image.mime_type, image.data) == ("boom", "image/png", PICTURE)
    assert found.structured_content["stderr"] == "boom"
    assert [file["name"] for file in found.structured_content["files"]] == ["table.csv"]
    (ran,) = executor.ran
    assert {name: ran[name] for name in ("environment", "code", "stdin", "timeout")} == {
        **HELLO,
        "stdin": "in",
        "timeout": 3,
    }


async def test_a_program_that_fails_says_so_in_its_text(executor: FakeExecutor, address: str, version: str) -> None:
    async with Client(f"http://{address}/mcp", mode=version) as client:
        found: Any = await client.call_tool("run_code", HELLO)
    assert found.content[0].text == "boom\n[error] The code ended with exit code 1."
    assert not found.is_error


async def test_output_arrives_as_progress_while_it_is_written(
    executor: FakeExecutor, address: str, version: str
) -> None:
    async def talk(websocket: WebSocket) -> None:
        assert json.loads(await websocket.receive_text())["type"] == "stdin_end"
        for data in ("one", "two"):
            await websocket.send_json({"type": "output", "stream": "stdout", "data": data})
        await comes_to_hold(lambda: told == ["one", "two"])
        await websocket.send_json({"type": "result", **RESULT})

    told: list[str | None] = []

    async def progress(progress: float, total: float | None, message: str | None) -> None:
        told.append(message)

    executor.conversation = talk
    async with Client(f"http://{address}/mcp", mode=version) as client:
        found: Any = await client.call_tool("run_code", HELLO, progress_callback=progress)
    assert found.structured_content["execution_id"] == RESULT["execution_id"]
    assert told == ["one", "two"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ({"environment": "python"}, Code.INVALID_REQUEST, "give either code or files"),
        ({**HELLO, "image": "evil"}, Code.INVALID_REQUEST, "image"),
        ({**HELLO, "terminal": {}}, Code.INVALID_REQUEST, "terminal"),
        ({**HELLO, "timeout": 31}, Code.TIMEOUT_TOO_LONG, "31 s"),
        ({**HELLO, "code": "x" * 70_000}, Code.CODE_TOO_LONG, "70000"),
        ({**HELLO, "code": ""}, Code.EMPTY_CODE, "empty"),
        ({**HELLO, "args": [1] * 5000}, Code.INVALID_REQUEST, "values"),
    ],
)
async def test_what_execute_refuses_is_refused(
    executor: FakeExecutor, address: str, arguments: dict[str, Any], code: Code, words: str
) -> None:
    async with Client(f"http://{address}/mcp", mode=VERSIONS[0]) as client:
        found: Any = await client.call_tool("run_code", arguments)
    assert found.is_error
    assert found.structured_content["code"] == code
    assert words in found.content[0].text
    assert executor.ran == []


async def test_refusals_of_the_platform_and_unknown_tools_have_their_codes(
    executor: FakeExecutor, address: str, version: str
) -> None:
    executor.answers["/execute"] = refuses(Code.BUSY, 2)
    async with Client(f"http://{address}/mcp", mode=version) as client:
        busy: Any = await client.call_tool("run_code", HELLO)
        unknown: Any = await client.call_tool("rm", {})
    assert (busy.structured_content["code"], busy.structured_content["retry_after"]) == (Code.BUSY, 2)
    assert (unknown.is_error, unknown.structured_content["code"]) == (True, Code.INVALID_REQUEST)


async def test_limits_and_keys_are_those_of_execute(executor: FakeExecutor, tmp_path: Path, version: str) -> None:
    keys = write(tmp_path / "keys.json", key("server", requests_per_minute=2, environments=["python"]))
    with listening(executor, MCP="true", KEYS_FILE=str(keys), REQUESTS_PER_MINUTE="1") as address:
        codes = []
        for headers in ({}, bearer("server-secret")):
            async with (
                httpx2.AsyncClient(headers=headers) as http,
                Client(streamable_http_client(f"http://{address}/mcp", http_client=http), mode=version) as client,
            ):
                await client.list_tools()  # It does not count against the rate.
                for environment in ("python", "node", "python"):
                    found: Any = await client.call_tool("run_code", {**HELLO, "environment": environment})
                    codes.append(found.structured_content.get("code"))
        found = httpx2.post(f"http://{address}/mcp", json=CALL, headers={**HEADERS, **bearer("wrong")})
    assert codes == [None, "rate_limited", "rate_limited", None, "environment_not_allowed", "key_rate_limited"]
    assert (found.status_code, found.json()["code"]) == (401, Code.UNKNOWN_KEY)
    assert found.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    ("origin", "host", "status"),
    [
        (None, None, 200),
        (SITE, None, 200),
        ("https://other.example", None, 403),
        ("null", None, 403),
        # DNS rebinding: a page's host name resolves to this server.
        ("http://evil.example:8000", "evil.example:8000", 403),
    ],
)
async def test_pages_that_are_not_allowed_are_refused(
    executor: FakeExecutor, origin: str | None, host: str | None, status: int
) -> None:
    given = {name: value for name, value in (("Origin", origin), ("Host", host)) if value}
    with listening(executor, MCP="true", ALLOWED_ORIGINS=json.dumps([SITE])) as address:
        async with httpx.AsyncClient() as client:
            found = await client.post(
                f"http://{address}/mcp",
                json={**CALL, "method": "tools/list", "params": {}},
                headers={**HEADERS, **given},
            )
    assert found.status_code == status
    if status == 403:
        assert problem(found).code is Code.ORIGIN_NOT_ALLOWED


@pytest.mark.parametrize(
    ("body", "statuses"),
    [
        (b"", {400}),
        (b"{", {400}),
        (b"[]", {400}),
        (b"[" * 60_000, {400}),
        (json.dumps([CALL] * 50).encode(), {400}),
        (b'{"jsonrpc":"2.0","id":1,"method":"no/such"}', {200, 404}),
        (b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":1}}', {200, 400}),
        (b'{"jsonrpc":"2.0","method":"notifications/initialized"}', {202}),
        (b"x" * 2_000_000, {413}),
    ],
)
@pytest.mark.parametrize("protocol", ["2026-07-28", "2025-06-18", None, "nonsense"])
async def test_malformed_messages_are_refused_and_run_nothing(
    executor: FakeExecutor, address: str, body: bytes, statuses: set[int], protocol: str | None
) -> None:
    headers = {**HEADERS, **({"MCP-Protocol-Version": protocol} if protocol else {})}
    async with httpx.AsyncClient() as client:
        found = await client.post(f"http://{address}/mcp", content=body, headers=headers)
        # The server still answers a valid call.
        well = await client.post(f"http://{address}/mcp", json=CALL, headers=HEADERS)
    assert found.status_code in statuses | ({400} if protocol in {"2026-07-28", "nonsense"} else set())
    assert len(found.content) < 8192
    assert well.status_code == 200
    assert len(executor.ran) == 1


async def test_only_post_is_answered(executor: FakeExecutor, address: str) -> None:
    async with httpx.AsyncClient() as client:
        for method in ("GET", "DELETE"):
            found = await client.request(method, f"http://{address}/mcp", headers={"Accept": "text/event-stream"})
            assert problem(found).code is Code.METHOD_NOT_ALLOWED


async def test_a_client_that_leaves_ends_its_program(executor: FakeExecutor, address: str) -> None:
    async def silent(websocket: WebSocket) -> None:
        await websocket.receive_text()
        await websocket.receive_text()

    executor.conversation = silent
    call = {**CALL, "params": {**CALL["params"], "_meta": {"progressToken": 1}}}  # type: ignore[dict-item]
    async with httpx.AsyncClient() as client:
        with pytest.raises(httpx.ReadTimeout):
            await client.post(f"http://{address}/mcp", json=call, headers=HEADERS, timeout=0.5)
    await comes_to_hold(executor.gone.is_set)


async def test_it_is_off_unless_the_operator_switches_it_on(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        found = await client.post("/mcp", json=CALL, headers=HEADERS)
    assert problem(found).code is Code.NOT_FOUND
    assert "not switched" in problem(found).detail


def test_its_sdk_is_imported_only_where_it_is_on() -> None:
    program = "import sys, app.api.__main__; sys.exit('mcp' in sys.modules or 'cryptography' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
