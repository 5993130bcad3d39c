"""Clients that were made for Piston and for codapi."""

from typing import Any

import httpx
import pytest

from app.wire.problems import Code
from tests.unit.app.fake_executor import RESULT, FakeExecutor, refuses, says
from tests.unit.app.fake_visitor import api

pytestmark = pytest.mark.anyio

PISTON = {"language": "python", "version": "3.x", "files": [{"content": "print(1)"}]}
CODAPI = {"sandbox": "python", "command": "run", "files": {"": "print(1)"}}


async def piston(executor: FakeExecutor, **changes: object) -> httpx.Response:
    async with api(executor) as client:
        return await client.post("/api/v2/execute", json={**PISTON, **changes})


async def codapi(executor: FakeExecutor, **changes: object) -> httpx.Response:
    async with api(executor) as client:
        return await client.post("/v1/exec", json={**CODAPI, **changes})


async def test_piston_runtimes(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/api/v2/runtimes")
    assert response.json() == [
        {"language": "python", "version": "3.13.5", "aliases": ["python3", "py"], "runtime": None},
        {"language": "javascript", "version": "20.19.2", "aliases": ["node", "js"], "runtime": "node"},
    ]


async def test_piston_example(executor: FakeExecutor) -> None:
    """The whole request of Piston's own documentation, limits included."""
    request = {
        "language": "js",
        "version": "20.x",
        "files": [{"name": "my_cool_code.js", "content": "console.log(process.argv)"}],
        "stdin": "",
        "args": ["1", "2", "3"],
        "compile_timeout": 10000,
        "run_timeout": 3000,
        "compile_cpu_time": 10000,
        "run_cpu_time": 3000,
        "compile_memory_limit": -1,
        "run_memory_limit": -1,
    }
    response = await piston(executor, **request)
    assert response.json() == {
        "language": "javascript",
        "version": "20.19.2",
        "run": {
            "stdout": "",
            "stderr": "boom",
            "output": "boom",
            "code": 1,
            "signal": None,
            "message": "The code ended with exit code 1.",
            "status": "RE",
            "cpu_time": 100,
            "wall_time": 200,
            "memory": 9_000_000,
        },
    }
    assert executor.ran == [
        {
            "environment": "node",
            "code": None,
            "files": [{"name": "my_cool_code.js", "content": "console.log(process.argv)", "encoding": "utf8"}],
            "main": "my_cool_code.js",
            "stdin": "",
            "args": ["1", "2", "3"],
            "timeout": 3,
            "results": None,
        }
    ]


@pytest.mark.parametrize(
    ("change", "run"),
    [
        ({"status": "success", "error": None, "exit_code": 0}, {"status": None, "code": 0, "message": None}),
        ({"signal": "SIGSEGV", "exit_code": 139}, {"status": "SG", "code": None, "signal": "SIGSEGV"}),
        ({"status": "timeout", "exit_code": None}, {"status": "TO", "code": None, "signal": "SIGKILL"}),
        ({"status": "memory_limit", "exit_code": None}, {"status": "SG", "code": None, "signal": "SIGKILL"}),
        ({"status": "output_limit", "exit_code": None, "stdout": "x" * 9}, {"status": "OL"}),
        ({"status": "output_limit", "exit_code": None, "stderr": "x" * 9}, {"status": "EL"}),
        ({"status": "process_limit"}, {"status": "RE", "code": 1}),
        ({"status": "killed", "exit_code": None}, {"status": "SG", "signal": "SIGKILL"}),
        ({"cpu_time": None, "memory_peak": None}, {"cpu_time": None, "memory": None}),
    ],
)
async def test_piston_ends(executor: FakeExecutor, change: dict[str, Any], run: dict[str, Any]) -> None:
    executor.answers["/execute"] = says({**RESULT, **change})
    found = (await piston(executor)).json()["run"]
    assert {name: found[name] for name in run} == run


async def test_piston_files(executor: FakeExecutor) -> None:
    files = [
        {"name": "data.bin", "content": "AAE=", "encoding": "base64"},
        {"content": "print(1)", "encoding": "utf8"},
        {"content": "00ff", "encoding": "hex"},
    ]
    assert (await piston(executor, files=files)).status_code == 200
    (ran,) = executor.ran
    assert ran["main"] == "main.py"
    assert ran["files"] == [
        {"name": "data.bin", "content": "AAE=", "encoding": "base64"},
        {"name": "main.py", "content": "print(1)", "encoding": "utf8"},
        {"name": "file2.code", "content": "AP8=", "encoding": "base64"},
    ]


@pytest.mark.parametrize("version", ["*", "3", "3.x", "3.13.5", ">=3.10 <4", "^3.10.0", "~3.13", "1 || 3"])
@pytest.mark.parametrize("language", ["python", "py", "python3"])
async def test_piston_versions(executor: FakeExecutor, language: str, version: str) -> None:
    assert (await piston(executor, language=language, version=version)).status_code == 200


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language": "cobol"}, "cobol-3.x runtime is unknown"),
        ({"version": "2.x"}, "python-2.x runtime is unknown"),
        ({"version": "][", "language": "node"}, "node-][ runtime is unknown"),
        ({"run_timeout": 30_001}, "run_timeout cannot exceed the configured limit of 30000"),
        ({"run_memory_limit": 2**40}, "run_memory_limit cannot exceed the configured limit of 268435456"),
        ({"run_timeout": -2}, "run_timeout"),
        ({"files": []}, "files"),
        ({"files": [{"content": "AA==", "encoding": "base64"}]}, "files must include at least one utf8 encoded file"),
        ({"files": [{"content": "1"}, {"content": "zz", "encoding": "hex"}]}, "file1.code is not hexadecimal"),
        ({"files": [{"name": "../x", "content": "1"}]}, "files.0.name"),
        ({"files": [{"content": " "}]}, "empty"),
        ({"language": None}, "language"),
    ],
)
async def test_piston_refusals(executor: FakeExecutor, change: dict[str, Any], message: str) -> None:
    response = await piston(executor, **change)
    assert response.status_code == 400
    assert list(response.json()) == ["message"]
    assert message in response.json()["message"]
    assert executor.ran == []


async def test_piston_when_there_is_no_room(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = refuses(Code.BUSY, 5)
    response = await piston(executor)
    assert (response.status_code, response.json(), response.headers["retry-after"]) == (
        503,
        {"message": "because"},
        "5",
    )
    executor.answers["/environments"] = refuses(Code.BUSY, 5)
    async with api(executor, REQUESTS_PER_MINUTE="1") as client:
        assert (await client.get("/api/v2/runtimes")).status_code == 503
        await client.post("/api/v2/execute", json=PISTON)
        limited = await client.post("/api/v2/execute", json=PISTON)
        assert (await client.get("/stats")).json()["refusals"] == {"busy": 2, "rate_limited": 1}
    assert limited.status_code == 429
    assert list(limited.json()) == ["message"]
    assert int(limited.headers["retry-after"]) > 0


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


@pytest.mark.parametrize(
    ("change", "stderr"),
    [({}, "boom"), ({"status": "timeout", "error": "It ran too long.", "stderr": "a"}, "a\nIt ran too long.")],
)
async def test_codapi_failures_of_the_code(executor: FakeExecutor, change: dict[str, Any], stderr: str) -> None:
    executor.answers["/execute"] = says({**RESULT, **change})
    response = await codapi(executor)
    assert response.status_code == 200
    assert (response.json()["ok"], response.json()["stderr"]) == (False, stderr)


@pytest.mark.parametrize(
    ("change", "status", "stderr"),
    [
        ({"sandbox": "cobol"}, 400, "unknown sandbox: cobol"),
        ({"command": "test"}, 422, "unknown command: sandbox python, command test"),
        ({"files": {"x": "1"}}, 422, "main file"),
        ({"files": {"": "1", "x": "data:text/plain,hello"}}, 422, "not in base64"),
        ({"files": {"": "1", "x": "data:;base64,?"}}, 422, "not base64"),
        ({"files": {"": "1", "../x": "1"}}, 422, "files.1.name"),
        ({"files": None}, 422, "files"),
    ],
)
async def test_codapi_refusals(executor: FakeExecutor, change: dict[str, Any], status: int, stderr: str) -> None:
    response = await codapi(executor, **change)
    assert (response.status_code, response.json()["ok"]) == (status, False)
    assert stderr in response.json()["stderr"]
    assert executor.ran == []
