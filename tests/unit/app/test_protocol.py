"""The socket's messages have the protocol's fields and no others."""

import json

import pytest
from pydantic import ValidationError

from app.wire.problems import Code, Refused
from app.wire.protocol import Execution, ExecutionResult, Fault, File, Status

RESULT = {
    "execution_id": "0" * 32,
    "status": "success",
    "output": "",
    "stdout": "",
    "stderr": "",
    "error": None,
    "exit_code": 0,
    "signal": None,
    "truncated": False,
    "execution_time": 0.1,
    "cpu_time": 0.05,
    "memory_peak": 1024,
    "files": [{"name": "a.png", "content": "eA==", "encoding": "base64", "size": 1}],
    "warnings": [],
    "environment": "python",
}


def test_an_execution_has_these_fields_and_no_others() -> None:
    assert list(Execution.model_fields) == [
        "environment",
        "code",
        "files",
        "main",
        "stdin",
        "args",
        "timeout",
        "packages",
        "results",
        "merge",
        "terminal",
    ]


@pytest.mark.parametrize("field", ["image", "mounts", "privileged", "user", "command"])
def test_an_execution_cannot_ask_for_more(field: str) -> None:
    with pytest.raises(ValidationError, match=field):
        Execution.model_validate_json(json.dumps({"environment": "python", "code": "1", field: "x"}))


@pytest.mark.parametrize(
    "change",
    [
        {"code": 1},
        {"stdin": None},
        {"args": "a"},
        {"args": ["a\0b"]},
        {"args": ["a"] * 65},
        {"terminal": {"columns": 0, "rows": 1}},
        {"terminal": {"columns": 1, "rows": 501}},
        {"terminal": {"columns": 80}},
        {"merge": 1},
        {"timeout": "1"},
        {"timeout": True},
        {"timeout": 0},
        {"timeout": -1},
        {"code": None},
        {"files": [{"name": "main.py", "content": ""}]},
        {"main": "main.py"},
        {"results": []},
        {"results": ["a/b"]},
        {"results": ["../x"]},
    ],
)
def test_wrong_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        Execution.model_validate_json(json.dumps({"environment": "python", "code": "1", **change}))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_timeout_is_finite(number: str) -> None:
    with pytest.raises(ValidationError):
        Execution.model_validate_json(f'{{"environment": "python", "code": "1", "timeout": {number}}}')


def test_text_without_a_utf8_form_is_refused() -> None:
    with pytest.raises(ValidationError):
        Execution.model_validate_json(r'{"environment": "python", "code": "\ud800"}')


def test_messages_are_frozen() -> None:
    execution = Execution(environment="python", code="1")
    with pytest.raises(ValidationError):
        execution.code = "2"  # type: ignore[misc] # frozen, which is what this tests


def test_a_result_survives_the_socket() -> None:
    result = ExecutionResult.model_validate_json(json.dumps(RESULT))
    assert result.status is Status.SUCCESS
    assert json.loads(result.model_dump_json()) == RESULT


def files(*names: str, **more: object) -> str:
    return json.dumps({"environment": "python", "files": [{"name": name, "content": "1"} for name in names], **more})


@pytest.mark.parametrize(
    "name",
    [
        "/etc/passwd",
        "../main.py",
        "a/../../b",
        "a//b",
        "a/",
        "",
        ".",
        "a/./b",
        "a\nb",
        "a\0b",
        "a\u009bb",
        "results",
        "x" * 256,
        "é" * 128,
    ],
)
def test_a_files_name_stays_inside(name: str) -> None:
    with pytest.raises(ValidationError):
        Execution.model_validate_json(files(name))


@pytest.mark.parametrize(
    "body",
    [
        files(),
        files("a.py", "a.py"),
        files("a", "a/b"),
        files("a/b", "a"),
        files("a.py", main="b.py"),
        files(*map(str, range(33))),
        '{"environment": "python", "files": [{"name": "a", "content": "x", "encoding": "base64"}]}',
        '{"environment": "python", "files": [{"name": "a", "content": "eA==", "encoding": "hex"}]}',
    ],
)
def test_files_that_do_not_fit_together_are_refused(body: str) -> None:
    with pytest.raises(ValidationError):
        Execution.model_validate_json(body)


def test_the_first_file_is_the_main_one_unless_another_is_named() -> None:
    assert Execution.model_validate_json(files("a.py", "lib/b.py")).main_file == "a.py"
    assert Execution.model_validate_json(files("a.py", "b.py", main="b.py")).main_file == "b.py"
    alone = Execution(environment="node", code="é")
    assert (alone.main_file, alone.sources) == ("main.js", {"main.js": "é".encode()})
    assert Execution(environment="unknown", code="1").sources == {"code": b"1"}


def test_what_is_computed_of_an_execution_is_computed_once_and_never_sent() -> None:
    execution = Execution.model_validate_json(files("a.py", "b.py"))
    before = execution.model_dump_json()
    assert execution.sources is execution.sources
    assert execution.model_dump_json() == before
    assert execution == Execution.model_validate_json(before)


def test_a_file_may_be_base64() -> None:
    assert File(name="a", content="AP8=", encoding="base64").data == b"\0\xff"


def test_a_problem_becomes_a_frame() -> None:
    fault = Fault.of(Refused(Code.BUSY, "later", 3).problem)
    assert json.loads(fault.model_dump_json()) == {
        "type": "problem",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "later",
        "code": "busy",
        "retry_after": 3,
    }
