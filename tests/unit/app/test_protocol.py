"""Nothing but what the protocol names crosses the socket."""

import json

import pytest
from pydantic import ValidationError

from app.protocol import Execution, ExecutionResult, Status

RESULT = {
    "execution_id": "0" * 32,
    "status": "success",
    "output": "",
    "stdout": "",
    "stderr": "",
    "error": None,
    "exit_code": 0,
    "truncated": False,
    "execution_time": 0.1,
    "environment": "python",
}


def test_an_execution_has_these_fields_and_no_others() -> None:
    assert list(Execution.model_fields) == ["environment", "code", "stdin", "args", "timeout"]


@pytest.mark.parametrize("field", ["image", "mounts", "privileged", "user", "files"])
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
        {"timeout": "1"},
        {"timeout": True},
        {"timeout": 0},
        {"timeout": -1},
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
        execution.code = "2"  # type: ignore[misc]


def test_a_result_survives_the_socket() -> None:
    result = ExecutionResult.model_validate_json(json.dumps(RESULT))
    assert result.status is Status.SUCCESS
    assert json.loads(result.model_dump_json()) == RESULT
