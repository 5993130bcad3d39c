"""Traces and logs of the two processes, for real executions."""

import json
from collections.abc import Iterator

import httpx
import pytest

from tests.sandbox.conftest import MakePlatform
from tests.unit.app.collector import Collector, collecting
from tests.waiting import until

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
IDS = {"X-Request-Id": "r1", "traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
HELLO = {"environment": "python", "code": "print('secret words')"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def only_python() -> dict[str, str]:
    """Variables of an executor with Python alone, which starts faster."""
    return {"EXECUTOR_ENVIRONMENTS": '["python"]', "EXECUTOR_POOLS": '{"python": {"min": 1, "max": 2}}'}


def test_an_execution_is_one_trace_and_one_line_in_each_log(
    make_platform: MakePlatform, collector: Collector, only_python: dict[str, str]
) -> None:
    platform = make_platform(**only_python, EXECUTOR_TRACES="true", API_OTLP_ENDPOINT=collector.url).start()
    result = httpx.post(f"{platform.url}/execute", json=HELLO, headers=IDS, timeout=30).json()
    until(lambda: len(collector.spans) == 5, 10, "the spans to arrive")
    found = {span.name: span for span in collector.spans}
    assert {span.trace for span in found.values()} == {TRACE}
    below = {span.id: span.name for span in found.values()} | {"00f067aa0ba902b7": "edge"}
    assert {(span.service, span.name, below[span.parent]) for span in found.values()} == {
        ("api", "execute", "edge"),
        ("executor", "execution", "execute"),
        ("executor", "queue", "execution"),
        ("executor", "run", "execution"),
        ("executor", "clean-up", "execution"),
    }
    assert found["clean-up"].end > found["execution"].end
    assert platform.metric("executor_spans_dropped_total") == 0
    ids = {"request_id": "r1", "trace_id": TRACE, "execution_id": result["execution_id"], "status": "success"}
    for process, message in ((platform.api, "execution"), (platform.executor, "sandbox released")):
        assert process is not None
        lines = [json.loads(line) for line in process.log().splitlines()]
        (line,) = [line for line in lines if line["message"] == message]
        assert line.items() >= ids.items()
        assert "secret" not in process.log()
