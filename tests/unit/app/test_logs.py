"""Each log record is one line of JSON, with any content."""

import json
import logging
import sys

from app.process.logs import JsonLines


def line(message: str, **more: object) -> dict[str, object]:
    record = logging.makeLogRecord({"name": "app", "levelname": "INFO", "msg": message, **more})
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, object] = json.loads(text)
    return found


def test_fields_are_top_level_keys() -> None:
    found = line("execution", fields={"seconds": 0.5})
    assert (found["message"], found["level"], found["logger"], found["seconds"]) == ("execution", "info", "app", 0.5)


def test_a_message_with_newlines_stays_one_line() -> None:
    assert line('a\n{"level": "error"}')["message"] == 'a\n{"level": "error"}'


def test_a_traceback_stays_one_line() -> None:
    try:
        raise ValueError("why")
    except ValueError:
        assert "ValueError: why" in str(line("failed", exc_info=sys.exc_info())["exception"])
