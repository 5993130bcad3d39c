"""A program ends as it does under the plain interpreter, in a sandbox that waited for it and in one made to order."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.wire.protocol import Execution
from tests.sandbox import outside
from tests.sandbox.outside import NAMED, Ended
from tests.sandbox.processes import Answer, Platform
from tests.sandbox.programs import PROGRAMS
from tests.sandbox.programs.program import Program

WAYS: Mapping[str, Sequence[tuple[str, bytes]]] = {"waiting": (), "made to order": ((".asked-for", b""),)}
"""Files that are sent beside the program's. An interpreter that waits would have looked for hidden ones already, so an
execution with one gets a sandbox made to order."""


def body(program: Program, others: Sequence[tuple[str, bytes]] = ()) -> dict[str, Any]:
    """The body of POST /execute, without the environment."""
    code = ((NAMED[program.environment].main, program.code or ""),)
    files = [
        {"name": name, "content": content}
        if isinstance(content, str)
        else {"name": name, "content": base64.b64encode(content).decode(), "encoding": "base64"}
        for name, content in (*(program.files or code), *others)
    ]
    sent = {"stdin": program.stdin, "args": list(program.args), "files": files}
    return {**sent, **({"results": ["*"]} if program.results else {})}


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
        signal=answer["signal"],
        files={file["name"]: base64.b64decode(file["content"]) for file in answer["files"]},
    )


@pytest.fixture(scope="module")
def platform(shared: Platform) -> Iterator[Platform]:
    """The shared platform. That nothing is left over is looked at once: it takes longer than most programs."""
    yield shared
    shared.wait_until_idle()


Plain = Callable[[str], Ended]


@pytest.fixture(scope="session")
def plain(request: pytest.FixtureRequest, images: Mapping[str, str], tmp_path_factory: pytest.TempPathFactory) -> Plain:
    """How each program of this run ends outside, by its name. All with one home are run at once."""
    names = {
        item.callspec.params["name"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.path == Path(__file__)
    }
    executions = {
        name: Execution.model_validate_json(json.dumps({"environment": program.environment, **body(program)}))
        for name, program in PROGRAMS.items()
        if name in names
    }

    @cache
    def run(home: str) -> Mapping[str, Ended]:
        of_home = {name: execution for name, execution in executions.items() if execution.home == home}
        return outside.run_all(images[home], of_home, tmp_path_factory.mktemp("outside"))

    return lambda name: run(executions[name].home)[name]


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_ends_as_outside(platform: Platform, plain: Plain, name: str) -> None:
    program = PROGRAMS[name]
    for way, others in WAYS.items():
        answer = platform.run(program.environment, **body(program, others))
        assert comparable(ended(answer)) == comparable(plain(name)), f"{way}: {answer['status']}, {answer['error']}"
