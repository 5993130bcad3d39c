"""A program ends as it does under the plain interpreter, in a sandbox that waited for it and in one made to order."""

import base64
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from app.wire.protocol import Execution
from tests.sandbox import outside
from tests.sandbox.outside import Ended
from tests.sandbox.processes import Answer, Platform
from tests.sandbox.programs import PROGRAMS, Program

ARGUMENTS = ("an argument",)
"""A sandbox that waits has started its interpreter, which has no arguments. So these need one made to order."""


def request(program: Program, args: tuple[str, ...]) -> dict[str, Any]:
    """The body of POST /execute, without the environment."""
    body: dict[str, Any] = {"stdin": program.stdin, "args": list(args)}
    if program.results:
        body["results"] = ["*"]
    if program.code is not None:
        return {**body, "code": program.code}
    files = [
        {"name": name, "content": content}
        if isinstance(content, str)
        else {"name": name, "content": base64.b64encode(content).decode(), "encoding": "base64"}
        for name, content in program.files
    ]
    return {**body, "files": files}


def of_any_run(text: str) -> str:
    """Without what differs from one run to the next: addresses, and ids of processes in messages."""
    text = re.sub(r"0x[0-9a-f]{6,}", "ADDRESS", text)
    return re.sub(r"(?<=\(node:)\d+|(?<=: line \d: ) *\d+(?= Killed)", "ID", text)


def comparable(ended: Ended) -> Ended:
    return replace(ended, stdout=of_any_run(ended.stdout), stderr=of_any_run(ended.stderr))


def ended(answer: Answer) -> Ended:
    return Ended(
        stdout=answer["stdout"],
        stderr=answer["stderr"],
        exit_code=answer["exit_code"],
        files={file["name"]: base64.b64decode(file["content"]) for file in answer["files"]},
    )


@pytest.mark.parametrize("args", [(), ARGUMENTS], ids=["waiting", "made to order"])
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_as_outside(
    platform: Platform, images: Mapping[str, str], tmp_path: Path, name: str, args: tuple[str, ...]
) -> None:
    program = PROGRAMS[name]
    body = request(program, args)
    execution = Execution.model_validate_json(json.dumps({"environment": program.environment, **body}))
    expected = outside.run(images[program.environment], execution, tmp_path / "outside")
    answer = platform.run(program.environment, **body)
    assert comparable(ended(answer)) == comparable(expected)
    assert answer["signal"] == program.signal
