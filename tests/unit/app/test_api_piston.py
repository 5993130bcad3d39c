"""Piston's HTTP API.

The requests, and what becomes of them, follow Piston's own api/src/api/v2.js and job.js (commit 0a844d0): a request
that those take is taken.
"""

from typing import Any

import httpx
import pytest

from app.api.piston_packages import PACKAGES
from app.environments import ENVIRONMENTS
from app.wire.problems import Code
from app.wire.protocol import File
from tests.unit.app.fake_executor import RESULT, FakeExecutor, refuses, says
from tests.unit.app.fake_visitor import api

pytestmark = pytest.mark.anyio

PISTON = {"language": "python", "version": "3.x", "files": [{"content": "print(1)"}]}


async def execute(executor: FakeExecutor, **changes: object) -> httpx.Response:
    async with api(executor) as client:
        return await client.post("/api/v2/execute", json={**PISTON, **changes})


async def test_runtimes(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/api/v2/runtimes")
    assert response.json() == [
        {
            "language": "python",
            "version": "3.13.5",
            "aliases": ["py", "py3", "python3", "python3.10", "python3.11", "python3.12"],
        },
        {
            "language": "javascript",
            "version": "24.22.3",
            "aliases": ["node-javascript", "node-js", "js", "node"],
            "runtime": "node",
        },
        {
            "language": "typescript",
            "version": "24.22.3",
            "aliases": ["ts", "node-ts", "tsc", "typescript5", "ts5"],
        },
    ]


async def test_packages(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/api/v2/packages")
        executor.answers["/environments"] = refuses(Code.EXECUTOR_UNAVAILABLE)
        refused = await client.get("/api/v2/packages")
    assert response.json() == [
        {"language": "python", "language_version": "3.13.5", "installed": True},
        {"language": "node", "language_version": "24.22.3", "installed": True},
        {"language": "typescript", "language_version": "24.22.3", "installed": True},
    ]
    assert (refused.status_code, refused.json()) == (503, {"message": "because"})


async def test_typescript_is_a_file_of_its_own_kind(executor: FakeExecutor) -> None:
    response = await execute(executor, language="node-ts", version="5.0.3")
    assert (response.json()["language"], response.json()["version"]) == ("typescript", "24.22.3")
    (ran,) = executor.ran
    assert (ran["environment"], ran["files"][0]["name"]) == ("typescript", "main.ts")


async def test_paths_of_the_public_service(executor: FakeExecutor) -> None:
    """The public service had "piston" in its paths."""
    async with api(executor) as client:
        runtimes = await client.get("/api/v2/piston/runtimes")
        executed = await client.post("/api/v2/piston/execute", json=PISTON)
        assert runtimes.json() == (await client.get("/api/v2/runtimes")).json()
        assert executed.json() == (await client.post("/api/v2/execute", json=PISTON)).json()


async def test_example(executor: FakeExecutor) -> None:
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
    response = await execute(executor, **request)
    assert response.json() == {
        "language": "javascript",
        "version": "24.22.3",
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
            "main": None,
            "stdin": "\n",
            "args": ["1", "2", "3"],
            "timeout": 3,
            "packages": [],
            "results": None,
            "merge": False,
            "terminal": None,
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
async def test_ends(executor: FakeExecutor, change: dict[str, Any], run: dict[str, Any]) -> None:
    executor.answers["/execute"] = says({**RESULT, **change})
    found = (await execute(executor)).json()["run"]
    assert {name: found[name] for name in run} == run


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        ({"stdin": None}, {"stdin": "\n"}),
        ({"stdin": "a"}, {"stdin": "a\n"}),
        ({"stdin": "a\n"}, {"stdin": "a\n"}),
        ({"args": None}, {"args": []}),
        ({"args": [1, "a", 2.0, 2.5, True, None]}, {"args": ["1", "a", "2", "2.5", "true", "null"]}),
        ({"run_timeout": None}, {"timeout": None}),
        ({"run_timeout": 0}, {"timeout": None}),
        ({"run_timeout": False}, {"timeout": None}),
        ({"run_timeout": -1}, {"timeout": None}),
        ({"run_timeout": 1500.5}, {"timeout": 1.5005}),
        ({"run_timeout": 30_000}, {"timeout": 30}),
        ({"run_cpu_time": 0, "run_memory_limit": 0}, {"timeout": None}),
        ({"run_memory_limit": -1}, {"timeout": None}),
        ({"run_memory_limit": -5}, {"timeout": None}),
        ({"args": ""}, {"args": []}),
        ({"compile_timeout": "any", "unknown": 1}, {"timeout": None}),
    ],
)
async def test_fields(executor: FakeExecutor, change: dict[str, Any], sent: dict[str, Any]) -> None:
    """A request as Piston takes it, and what the program then gets."""
    response = await execute(executor, **change)
    assert response.status_code == 200, response.text
    (ran,) = executor.ran
    assert {name: ran[name] for name in sent} == sent


@pytest.mark.parametrize(
    ("file", "name", "content"),
    [
        ({"content": "1"}, "main.py", b"1"),
        ({"name": None, "content": "1", "encoding": None}, "main.py", b"1"),
        ({"name": "", "content": "1", "encoding": ""}, "main.py", b"1"),
        ({"name": "a.py", "content": "1", "encoding": "utf-8"}, "a.py", b"1"),
        ({"name": "a.py", "content": "1", "encoding": 5}, "a.py", b"1"),
        ({"name": "./a.py", "content": "1"}, "a.py", b"1"),
        ({"name": "/a.py", "content": "1"}, "a.py", b"1"),
        ({"name": "//b/./c/../a.py", "content": "1"}, "b/a.py", b"1"),
    ],
)
async def test_main_file(executor: FakeExecutor, file: dict[str, Any], name: str, content: bytes) -> None:
    assert (await execute(executor, files=[file])).status_code == 200
    (ran,) = executor.ran
    assert {file["name"]: File(**file).data for file in ran["files"]} == {name: content}


@pytest.mark.parametrize(
    ("encoding", "content", "data"),
    [
        ("base64", "AAE=", b"\0\1"),
        ("base64", "AAE", b"\0\1"),
        ("base64", " AA\nE=\n", b"\0\1"),
        ("base64", "-_8=", b"\xfb\xff"),
        ("base64", "A", b""),
        ("base64", "AA==AA==", b"\0"),
        ("base64", "A?AE", b"\0\1"),
        ("hex", "00ff", b"\0\xff"),
        ("hex", "00FFf", b"\0\xff"),
        ("hex", "00 ff", b"\0"),
        ("hex", "zz", b""),
    ],
)
async def test_other_encodings(executor: FakeExecutor, encoding: str, content: str, data: bytes) -> None:
    """The expected data are those of Node 20's `Buffer.from(content, encoding)`, which Piston calls."""
    files = [{"content": "1"}, {"name": "data.bin", "content": content, "encoding": encoding}]
    assert (await execute(executor, files=files)).status_code == 200
    (ran,) = executor.ran
    assert [File(**file).data for file in ran["files"]] == [b"1", data]


@pytest.mark.parametrize(
    ("files", "main", "expected"),
    [
        (
            [{"content": "AA==", "encoding": "base64"}, {"content": "1"}, {"content": "00", "encoding": "hex"}],
            "main.py",
            {"file0.code": b"\0", "main.py": b"1", "file2.code": b"\0"},
        ),
        ([{"name": "a.py", "content": "1"}, {"name": "./a.py", "content": "2"}], "a.py", {"a.py": b"2"}),
        (
            [{"content": "import main"}, {"name": "main.py", "content": "2"}],
            "file0.code",
            {"file0.code": b"import main", "main.py": b"2"},
        ),
    ],
)
async def test_several_files(
    executor: FakeExecutor, files: list[dict[str, str]], main: str, expected: dict[str, bytes]
) -> None:
    """The first file in UTF-8 is run. Of two files with one name, the last is kept."""
    assert (await execute(executor, files=files)).status_code == 200
    (ran,) = executor.ran
    assert ran["files"][0]["name"] == main
    assert {file["name"]: File(**file).data for file in ran["files"]} == expected


@pytest.mark.parametrize(
    ("language", "version", "answered"),
    [
        *(("python", version, "3.13.5") for version in ("*", "3", "3.x", "3.13.5", ">=3.10 <4", "~3.13", "1 || 3")),
        *(("python", version, "3.13.5") for version in ("3.10.0", "3.10", "^3.9", "<3.11", "3.5.10", "3.9.4", "3.12")),
        *((language, "3.10.0", "3.13.5") for language in ("py", "py3", "python3", "python3.10", "python3.12")),
        *(("javascript", version, "24.22.3") for version in ("15.10.0", "16.3.0", "18.15.0", "20.11.1", "18.x", "*")),
        *((language, "18.15.0", "24.22.3") for language in ("js", "node", "node-js", "node-javascript")),
    ],
)
async def test_versions(executor: FakeExecutor, language: str, version: str, answered: str) -> None:
    """Each name and each version of Piston's packages is answered, and the answer says by which version."""
    response = await execute(executor, language=language, version=version)
    assert (response.status_code, response.json()["version"]) == (200, answered)


async def test_every_package_has_its_environment() -> None:
    assert set(ENVIRONMENTS) - set(PACKAGES) == {"python-data"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language": "cobol"}, "cobol-3.x runtime is unknown"),
        ({"version": "2.x"}, "python-2.x runtime is unknown"),
        ({"version": "][", "language": "node"}, "node-][ runtime is unknown"),
        ({"version": "latest"}, "python-latest runtime is unknown"),
        ({"version": "1.32.3", "language": "javascript"}, "javascript-1.32.3 runtime is unknown"),
        ({"version": ""}, "version"),
        ({"run_timeout": 30_001}, "run_timeout cannot exceed the configured limit of 30000"),
        ({"run_memory_limit": 2**40}, "run_memory_limit cannot exceed the configured limit of 268435456"),
        ({"run_timeout": 30_000.5}, "run_timeout cannot exceed the configured limit of 30000"),
        ({"run_timeout": -2}, "run_timeout"),
        ({"run_timeout": "3000"}, "run_timeout"),
        ({"run_cpu_time": True}, "run_cpu_time"),
        ({"stdin": 1}, "stdin"),
        ({"args": "a"}, "args"),
        ({"args": [[]]}, "args.0"),
        ({"files": []}, "files must include at least one utf8 encoded file"),
        ({"files": [{"content": None}]}, "files.0.content"),
        ({"files": [{"content": "AA==", "encoding": "base64"}]}, "files must include at least one utf8 encoded file"),
        ({"files": [{"name": "../x", "content": "1"}]}, "files.0.name"),
        ({"files": [{"name": "a/../../x", "content": "1"}]}, "files.0.name"),
        ({"files": [{"name": "/", "content": "1"}]}, "files.0.name"),
        ({"files": [{"content": " "}]}, "empty"),
        ({"language": None}, "language"),
    ],
)
async def test_refusals(executor: FakeExecutor, change: dict[str, Any], message: str) -> None:
    response = await execute(executor, **change)
    assert response.status_code == 400
    assert list(response.json()) == ["message"]
    assert message in response.json()["message"]
    assert ";" not in response.json()["message"], "one cause is told once"
    assert executor.ran == []


async def test_busy_and_rate_limited(executor: FakeExecutor) -> None:
    executor.answers["/execute"] = refuses(Code.BUSY, 5)
    response = await execute(executor)
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
