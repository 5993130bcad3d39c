"""Request ids and trace ids in answers and in the logs of both processes."""

import asyncio
import json
import logging

import pytest

from app.api.settings import ApiSettings
from app.process.correlation import Correlation, correlation_of, current
from app.process.logs import JsonLines
from tests.unit.app.fake_executor import FakeExecutor
from tests.unit.app.fake_visitor import api

HELLO = {"environment": "python", "code": "print('secret words')"}
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.mark.parametrize("given", ["abc", "A-b_c.9", "x" * 64])
def test_a_valid_request_id_is_kept(given: str) -> None:
    assert correlation_of({"X-Request-Id": given}).request_id == given


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\nb", 'a"b', "é"])
def test_an_invalid_request_id_is_replaced(given: str) -> None:
    found = correlation_of({"X-Request-Id": given}).request_id
    assert len(found) == 32
    assert found != correlation_of({"X-Request-Id": given}).request_id


@pytest.mark.parametrize(
    ("given", "trace_id"),
    [
        (PARENT, TRACE),
        (PARENT.upper(), None),
        (f"01-{TRACE}-00f067aa0ba902b7-01", None),
        (f"00-{'0' * 32}-00f067aa0ba902b7-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        ("", None),
    ],
)
def test_the_trace_id_comes_from_a_valid_traceparent(given: str, trace_id: str | None) -> None:
    assert correlation_of({"traceparent": given}).trace_id == trace_id


def test_log_lines_have_both_ids() -> None:
    token = current.set(Correlation("r1", PARENT))
    try:
        line = json.loads(JsonLines().format(logging.makeLogRecord({"msg": "x"})))
    finally:
        current.reset(token)
    assert (line["request_id"], line["trace_id"]) == ("r1", TRACE)
    assert "request_id" not in json.loads(JsonLines().format(logging.makeLogRecord({"msg": "x"})))


@pytest.mark.anyio
async def test_every_answer_has_a_request_id_and_the_executor_gets_it(executor: FakeExecutor) -> None:
    ids = {"X-Request-Id": "mine", "traceparent": PARENT}
    async with api(executor) as client:
        for path in ("/", "/health", "/nothing"):
            assert (await client.get(path, headers=ids)).headers["x-request-id"] == "mine"
        assert (await client.post("/execute", json={}, headers=ids)).headers["x-request-id"] == "mine"
        await client.post("/execute", json=HELLO, headers=ids)
        made = (await client.post("/execute", json=HELLO)).headers["x-request-id"]
    *_, first, second = executor.seen
    assert (first.headers["x-request-id"], first.headers["traceparent"]) == ("mine", PARENT)
    assert second.headers["x-request-id"] == made
    assert "traceparent" not in second.headers


@pytest.mark.anyio
async def test_the_code_is_logged_with_log_code(executor: FakeExecutor, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with api(executor, LOG_CODE="true") as client:
        await client.post("/execute", json=HELLO)
        await asyncio.sleep(0)  # The log line is written after the answer.
    (record,) = [record for record in caplog.records if record.getMessage() == "execution"]
    assert record.__dict__["fields"]["code"] == HELLO["code"]


def test_the_collectors_endpoint_is_a_url() -> None:
    assert ApiSettings.read({"API_PROFILE": "{}"}).otlp_endpoint is None
    given = {"API_PROFILE": "{}", "API_OTLP_ENDPOINT": "http://collector:4318"}
    assert ApiSettings.read(given).otlp_endpoint == "http://collector:4318"
