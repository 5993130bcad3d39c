"""One program with many inputs, in real sandboxes."""

import json
from typing import Any

import httpx

from tests.sandbox.processes import Platform

TRACES = """
import os, sys
before = sorted(os.listdir("/tmp"))
open("/tmp/trace", "w").write("x")
print(before, input(), sys.argv[1], open("data.txt").read())
"""


def batch(platform: Platform, code: str, inputs: list[dict[str, Any]], **more: object) -> list[dict[str, Any]]:
    body = {"environment": "python", "code": code, "inputs": inputs, **more}
    response = httpx.post(f"{platform.url}/execute/batch", json=body, timeout=100)
    assert response.status_code == 200, response.text
    return [json.loads(line) for line in response.text.splitlines()]


def test_each_input_has_a_sandbox_of_its_own(platform: Platform) -> None:
    inputs = [
        {"stdin": f"in {number}", "args": [f"arg {number}"], "files": [{"name": "data.txt", "content": str(number)}]}
        for number in range(8)
    ]
    answers = batch(platform, TRACES, inputs)
    assert [answer["input"] for answer in answers] == list(range(8))
    outputs = [answer["result"]["stdout"] for answer in answers]
    assert outputs == [f"['data.txt', 'main.py'] in {number} arg {number} {number}\n" for number in range(8)]
    assert len({answer["result"]["execution_id"] for answer in answers}) == 8


def test_a_batch_leaves_sandboxes_for_others(platform: Platform) -> None:
    sleeps = [{"stdin": "2"}] * 8
    body = {"environment": "python", "code": "import time; time.sleep(int(input()))", "inputs": sleeps}
    with httpx.stream("POST", f"{platform.url}/execute/batch", json=body, timeout=100) as response:
        lines = response.iter_lines()
        next(lines)
        assert platform.running() <= 2
        assert platform.run("python", "print(1)", timeout=1)["stdout"] == "1\n"
    # The rest is cancelled with the stream: the fixture waits until no execution runs.


def test_a_batch_stops_at_its_first_failure(platform: Platform) -> None:
    code = "print(1 / int(input()))"
    answers = batch(platform, code, [{"stdin": text} for text in ("1", "0", "2", "3")], stop_at_failure=True)
    assert [answer["result"]["status"] for answer in answers] == ["success", "error"]
