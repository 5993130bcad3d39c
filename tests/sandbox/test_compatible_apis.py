"""Piston's and codapi's APIs, with real code behind them."""

import contextlib
import json
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.sandbox.processes import Platform

LISTING = "import sys; print(sys.argv[1:], [*open('data.bin', 'rb').read()], repr(input()))"


def piston(platform: Platform, **body: object) -> dict[str, Any]:
    response = httpx.post(f"{platform.url}/api/v2/piston/execute", json=body, timeout=100)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def test_piston_request(platform: Platform) -> None:
    """`input()` without stdin gives an empty line, as in Piston, and not the end of the file."""
    files = [
        {"name": "./data.bin", "content": "AP8", "encoding": "base64"},
        {"name": "/main.py", "content": "never run"},
        {"name": "main.py", "content": LISTING, "encoding": "utf-8"},
    ]
    answer = piston(platform, language="py3", version="3.10.0", files=files, args=[1, "a"], stdin=None, run_timeout=0)
    assert answer["run"]["stdout"] == "['1', 'a'] [0, 255] ''\n"
    assert answer["run"]["code"] == 0
    assert (answer["language"], answer["version"]) == ("python", platform.version("python"))


@pytest.mark.parametrize(
    ("environment", "language", "version", "code"),
    [
        ("node", "node-javascript", "18.15.0", "console.log(6 * 7)"),
        ("bash", "sh", "5.1.x", "echo $((6 * 7))"),
        ("typescript", "ts", "5.0.3", "const answer: number = 6 * 7; console.log(answer)"),
    ],
)
def test_piston_languages(platform: Platform, environment: str, language: str, version: str, code: str) -> None:
    answer = piston(platform, language=language, version=version, files=[{"content": code}])
    assert (answer["run"]["output"], answer["version"]) == ("42\n", platform.version(environment))


def test_piston_run_timeout(platform: Platform) -> None:
    files = [{"content": "while True: pass"}]
    run = piston(platform, language="python", version="*", files=files, run_timeout=500.5)["run"]
    assert (run["status"], run["code"], run["signal"]) == ("TO", None, "SIGKILL")


@pytest.mark.parametrize(
    ("last", "code", "signal"),
    [
        ({"type": "signal", "signal": "SIGINT"}, None, "SIGINT"),
        ({"type": "signal", "signal": "SIGKILL"}, None, "SIGKILL"),
        ({"type": "data", "stream": "stdin", "data": "x\n"}, 1, None),
    ],
)
def test_piston_conversation(platform: Platform, last: dict[str, str], code: int | None, signal: str | None) -> None:
    """Each line is answered as it is sent; the code ends by a signal, or by itself."""
    files = [{"content": "print('up')\nwhile (line := input()) != 'x': print('got', line)\nraise SystemExit(1)"}]
    init = {"type": "init", "language": "python", "version": "*", "files": files}
    frames = []

    def hear(text: str) -> None:
        said = ""
        while not said.endswith(text):
            frames.append(json.loads(connection.recv(timeout=60)))
            said += frames[-1].get("data", "")

    with connect(f"{platform.url.replace('http', 'ws')}/api/v2/connect") as connection:
        connection.send(json.dumps(init))
        hear("up\n")
        for word in ("zwölf", "a"):
            connection.send(json.dumps({"type": "data", "stream": "stdin", "data": f"{word}\n"}))
            hear(f"got {word}\n")
        connection.send(json.dumps(last))
        with contextlib.suppress(ConnectionClosed):
            while True:
                frames.append(json.loads(connection.recv(timeout=60)))
    runtime, stage, *_, end = frames
    assert runtime == {"type": "runtime", "language": "python", "version": platform.version("python")}
    assert stage == {"type": "stage", "stage": "run"}
    assert end == {"type": "exit", "stage": "run", "code": code, "signal": signal}
    assert (connection.close_code, connection.close_reason) == (4999, "Job Completed")


def test_codapi(platform: Platform) -> None:
    files = {"main.py": "import other", "other.py": "data:text/x-python;base64,cHJpbnQoNDIp"}
    body = {"sandbox": "python", "command": "run", "files": files}
    answer = httpx.post(f"{platform.url}/v1/exec", json=body, timeout=100).json()
    assert (answer["ok"], answer["stdout"], answer["stderr"]) == (True, "42\n", "")
