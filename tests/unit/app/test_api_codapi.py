"""codapi's API."""

from typing import Any

import httpx
import pytest

from app.wire.protocol import File
from tests.unit.app.fake_executor import RESULT, FakeExecutor, says
from tests.unit.app.fake_visitor import api

pytestmark = pytest.mark.anyio

CODAPI = {"sandbox": "python", "command": "run", "files": {"": "print(1)"}}


async def codapi(executor: FakeExecutor, **changes: object) -> httpx.Response:
    async with api(executor) as client:
        return await client.post("/v1/exec", json={**CODAPI, **changes})


async def test_codapi(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = says({**RESULT, "status": "success", "error": None, "exit_code": 0, "stdout": "1\n"})
    data = "data:application/octet-stream;base64,AAE="
    response = await codapi(executor, sandbox="py", files={"": "print(1)", "data.bin": data})
    assert response.json() == {"id": "0" * 32, "ok": True, "duration": 200, "stdout": "1\n", "stderr": "boom"}
    (ran,) = executor.ran
    assert (ran["environment"], ran["main"]) == ("python", "main.py")
    assert ran["files"] == [
        {"name": "main.py", "content": "print(1)", "encoding": "utf8"},
        {"name": "data.bin", "content": "AAE=", "encoding": "base64"},
    ]


async def test_the_main_file_of_typescript(executor: FakeExecutor) -> None:
    assert (await codapi(executor, sandbox="ts", files={"": "1"})).status_code == 200
    (ran,) = executor.ran
    assert (ran["environment"], ran["main"]) == ("typescript", "main.ts")


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"main.py": "1"}, {"main.py": b"1"}),
        ({"./main.py": "1", "a/../b.py": "2"}, {"main.py": b"1", "b.py": b"2"}),
        ({"": "1", "x": "data:text/plain,a,b"}, {"main.py": b"1", "x": b"a,b"}),
        ({"": "1", "x": "data:text/plain;base64,AAE="}, {"main.py": b"1", "x": b"\0\1"}),
    ],
)
async def test_files(executor: FakeExecutor, files: dict[str, str], expected: dict[str, bytes]) -> None:
    """The main file has no name, or the environment's own. A data URL gives its data."""
    assert (await codapi(executor, files=files)).status_code == 200
    (ran,) = executor.ran
    assert ran["main"] == "main.py"
    assert {file["name"]: File(**file).data for file in ran["files"]} == expected


async def test_probe(executor: FakeExecutor) -> None:
    """codapi-js sends HEAD /v1/health before it runs code. Without an answer it says that the server is down."""
    async with api(executor) as client:
        assert (await client.head("/v1/health")).status_code == 200
        executor.answers["/health"] = says({"engine": "failing", "active_sandboxes": 0})
        assert (await client.head("/v1/health")).status_code == 503


@pytest.mark.parametrize(
    ("change", "stderr"),
    [({}, "boom"), ({"status": "timeout", "error": "It ran too long.", "stderr": "a"}, "a\nIt ran too long.")],
)
async def test_failures_of_the_code(executor: FakeExecutor, change: dict[str, Any], stderr: str) -> None:
    executor.answers["/execute"] = says({**RESULT, **change})
    response = await codapi(executor)
    assert response.status_code == 200
    assert (response.json()["ok"], response.json()["stderr"]) == (False, stderr)


@pytest.mark.parametrize(
    ("change", "stderr"),
    [
        ({"sandbox": "cobol"}, "unknown sandbox: cobol"),
        ({"command": "test"}, "unknown command: sandbox python, command test"),
        ({"files": {"x": "1"}}, "main file"),
        ({"files": {"": "1", "x": "data:text/plain"}}, "without a comma"),
        ({"files": {"": "1", "x": "data:;base64,?"}}, "not base64"),
        ({"files": {"": "1", "../x": "1"}}, "files.1.name"),
        ({"files": None}, "files"),
    ],
)
async def test_refusals(executor: FakeExecutor, change: dict[str, Any], stderr: str) -> None:
    response = await codapi(executor, **change)
    assert (response.status_code, response.json()["ok"]) == (400, False)
    assert stderr in response.json()["stderr"]
    assert executor.ran == []
