"""Spans: their parents, their attributes, and their way to the collector."""

import json
from collections.abc import Callable, Iterator
from itertools import pairwise

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.requests import Request
from starlette.responses import Response
from websockets.asyncio.client import connect

from app.api import span_relay
from app.api.span_relay import SpanRelay
from app.executor.engine import Sandbox
from app.executor.metrics import Metrics
from app.executor.pool import Pool
from app.executor.server import build_executor
from app.executor.service import Service
from app.executor.settings import Bounds
from app.process import spans as module
from app.process.correlation import Correlation, current
from app.process.spans import RecordedTracing
from app.process.start_tracing import start_tracing
from app.process.tracing import Tracing
from app.profile import FLOOR, SandboxProfile
from app.wire.problems import Code
from app.wire.protocol import Execution
from app.wire.unix_http import UnixHttp
from tests.unit.app.collector import Collector, collecting, spans
from tests.unit.app.fake_executor import FakeExecutor, refuses
from tests.unit.app.fake_visitor import listening
from tests.unit.app.fake_workshop import FakeSandbox, FakeWorkshop, settle
from tests.unit.app.fakes import PYTHON, FakeEngine, service, settings
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
EDGE = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{EDGE}-01"
IDS = {"X-Request-Id": "r1", "traceparent": PARENT}
HELLO = {"environment": "python", "code": "print('secret words')"}


@pytest.fixture
def request_of_the_edge() -> Iterator[None]:
    """Run the test as part of a request."""
    token = current.set(Correlation("r1", PARENT))
    yield
    current.reset(token)


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def recorded(dropped: Callable[[], None] = lambda: None) -> Tracing:
    return start_tracing("api", True, dropped)


@pytest.mark.usefixtures("request_of_the_edge")
def test_spans_are_nested() -> None:
    traces = recorded()
    with traces.span("outer") as annotate:
        annotate("sandbox.environment", "python")
        named = current.get()
        with traces.span("inner"):
            pass
        assert current.get() == named
    assert current.get() == Correlation("r1", PARENT)
    outer, inner = spans(traces.take())
    assert named == Correlation("r1", f"00-{TRACE}-{outer.id}-01")
    assert (outer.name, outer.trace, outer.parent, outer.service) == ("outer", TRACE, EDGE, "api")
    assert outer.attributes == {"sandbox.environment": "python"}
    assert (inner.name, inner.trace, inner.parent) == ("inner", TRACE, outer.id)
    assert traces.take() == b""


def test_outside_of_a_request_there_is_no_span() -> None:
    traces = recorded()
    with traces.span("sweep"):
        assert current.get() is None
    assert traces.take() == b""


def test_a_trace_that_the_edge_does_not_sample_is_not_kept() -> None:
    traces = recorded()
    token = current.set(Correlation("r1", PARENT[:-2] + "00"))
    with traces.span("execute"):
        now = current.get()
        assert now is not None
        assert now.trace_id == TRACE
    current.reset(token)
    assert traces.take() == b""


@pytest.mark.usefixtures("request_of_the_edge")
def test_an_exception_marks_the_span_without_its_text() -> None:
    traces = recorded()
    with pytest.raises(ValueError, match="secret"), traces.span("execute"):
        raise ValueError("secret words")
    body = traces.take()
    assert spans(body)[0].failed
    assert b"secret" not in body


@pytest.mark.usefixtures("request_of_the_edge")
def test_kept_spans_are_bounded_and_dropped_ones_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEPT", 3)
    dropped: list[None] = []
    traces = recorded(lambda: dropped.append(None))
    for number in range(5):
        with traces.span(str(number)):
            pass
    assert [span.name for span in spans(traces.take())] == ["2", "3", "4"]
    assert len(dropped) == 2


@pytest.mark.usefixtures("request_of_the_edge")
def test_without_traces_ids_pass_through() -> None:
    traces = start_tracing("api", False, lambda: None)
    with traces.span("execute") as annotate:
        annotate("sandbox.environment", "python")
        assert current.get() == Correlation("r1", PARENT)
    assert traces.take() == b""


class Workshop(FakeWorkshop):
    """Records the request in which each method is called."""

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[str, str | None]] = []

    async def make(self, environment: str, execution: Execution | None = None) -> FakeSandbox:
        now = current.get()
        self.requests.append(("make", now.request_id if now else None))
        return await super().make(environment, execution)

    async def destroy(self, sandbox: Sandbox) -> None:
        now = current.get()
        self.requests.append(("destroy", now.request_id if now else None))
        await super().destroy(sandbox)


@pytest.mark.parametrize(
    ("args", "more", "requests"),
    [
        ([], set(), [("make", None), ("make", None), ("destroy", "r1")]),
        (["a"], {"make"}, [("make", None), ("make", "r1"), ("destroy", "r1")]),
    ],
    ids=["a sandbox that waited", "one made to order"],
)
async def test_all_spans_of_an_execution_are_in_its_trace(
    args: list[str], more: set[str], requests: list[tuple[str, str | None]]
) -> None:
    traces, metrics, workshop = RecordedTracing("executor", lambda: None), Metrics(FLOOR), Workshop()
    pool = Pool(workshop, {"python": Bounds(min=1, max=2)}, metrics, 4, 4, tracing=traces)
    pool.start()
    await settle()
    subject = Service(pool, settings(), {"python": PYTHON}, metrics, traces)
    app = build_executor(subject, Metrics(SandboxProfile()), traces)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://executor") as client:
        answer = await client.post("/execute", json={**HELLO, "args": args}, headers=IDS)
        await settle()
        body = (await client.get("/spans")).content
        assert (await client.get("/spans")).content == b""
    await pool.close()
    found = {span.name: span for span in spans(body)}
    assert set(found) == {"execution", "queue", "run", "clean-up"} | more
    assert {span.trace for span in found.values()} == {TRACE}
    top = found.pop("execution")
    assert (top.parent, {span.parent for span in found.values()}) == (EDGE, {top.id})
    assert top.attributes == {
        "sandbox.environment": "python",
        "sandbox.execution_id": answer.json()["execution_id"],
        "sandbox.status": "success",
    }
    in_order = [found[name] for name in ("queue", *more, "run")]
    assert all(step.end <= following.start for step, following in pairwise(in_order))
    assert found["clean-up"].start >= top.end
    assert b"secret" not in body
    assert workshop.requests == requests


async def test_a_refusal_is_in_the_trace() -> None:
    traces, engine = RecordedTracing("executor", lambda: None), FakeEngine()
    engine.busy = True
    app = build_executor(service(engine, tracing=traces), Metrics(SandboxProfile()), traces)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://executor") as client:
        assert (await client.post("/execute", json=HELLO, headers=IDS)).status_code == 503
    (span,) = spans(traces.take())
    assert (span.name, span.trace, span.failed) == ("execution", TRACE, True)


async def ask(client: httpx.AsyncClient, way: str) -> None:
    """A request for an execution, as this interface takes it."""
    if way == "websocket":
        url = f"ws://{client.base_url.netloc.decode()}/execute/stream"
        async with connect(url, additional_headers=IDS) as connection:
            await connection.send(json.dumps({"type": "start", **HELLO}))
            await connection.send('{"type": "stdin_end"}')
            assert "started" in str(await connection.recv())
            assert "result" in str(await connection.recv())
        return
    path, body, accept = {
        "plain": ("/execute", HELLO, "*/*"),
        "events": ("/execute", HELLO, "text/event-stream"),
        "piston": ("/api/v2/execute", {"language": "py", "version": "*", "files": [{"content": "1"}]}, "*/*"),
        "codapi": ("/v1/exec", {"sandbox": "py", "command": "run", "files": {"": "1"}}, "*/*"),
    }[way]
    answer = await client.post(path, json=body, headers={**IDS, "Accept": accept})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("way", ["plain", "events", "websocket", "piston", "codapi"])
async def test_each_interface_makes_a_span(executor: FakeExecutor, collector: Collector, way: str) -> None:
    with listening(executor, OTLP_ENDPOINT=collector.url) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            await ask(client, way)
    (span,) = collector.spans
    assert (span.service, span.name, span.trace, span.parent) == ("api", "execute", TRACE, EDGE)
    assert span.attributes == {
        "sandbox.environment": "python",
        "sandbox.execution_id": "0" * 32,
        "sandbox.status": "error",
    }
    (ran,) = [seen for seen in executor.seen if seen.path in {"/execute", "/stream"}]
    assert ran.headers["traceparent"] == f"00-{TRACE}-{span.id}-01"


async def test_a_refused_executions_span_has_the_code_of_the_refusal_and_no_text(
    executor: FakeExecutor, collector: Collector
) -> None:
    executor.answers["/execute"] = refuses(Code.BUSY, 1)
    with listening(executor, OTLP_ENDPOINT=collector.url) as address:
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            await client.post("/execute", json={**HELLO, "environment": "secret"}, headers=IDS)
    (span,) = collector.spans
    assert (span.failed, span.attributes) == (True, {"sandbox.refused": "busy"})


class Relayed:
    """A relay that asks a hundred times as often, of an executor that has spans once; and the spans that it dropped."""

    def __init__(self, executor: FakeExecutor, collector: Collector, *names: str) -> None:
        self.dropped: list[tuple[str, int]] = []
        self._own = RecordedTracing("api", lambda: None)
        self._theirs = RecordedTracing("executor", lambda: None)
        executor.answers["/spans"] = self._tell
        self.say(*names)
        self.relay = SpanRelay(
            collector.url, UnixHttp(executor.socket), self._own, lambda *given: self.dropped.append(given)
        )

    def say(self, *names: str) -> None:
        token = current.set(Correlation("r1", PARENT))
        for name in names:
            with self._theirs.span(name):
                pass
        current.reset(token)

    async def _tell(self, _: Request) -> Response:
        return Response(self._theirs.take())


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_relay, "_PERIOD_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
async def test_the_executors_spans_are_passed_on(executor: FakeExecutor, collector: Collector) -> None:
    relayed = Relayed(executor, collector, "queue", "run")
    async with relayed.relay.running():
        await comes_to_hold(lambda: len(collector.spans) == 2)
    assert [(span.service, span.name) for span in collector.spans] == [("executor", "queue"), ("executor", "run")]
    assert relayed.dropped == []


@pytest.mark.usefixtures("quick")
async def test_spans_are_sent_once_after_the_collector_was_unavailable(
    executor: FakeExecutor, collector: Collector
) -> None:
    collector.status = 503
    relayed = Relayed(executor, collector, "first")
    async with relayed.relay.running():
        await comes_to_hold(lambda: collector.asked >= 3)
        relayed.say("second")
        collector.status = 200
        await comes_to_hold(lambda: len(collector.spans) == 2)
    assert [span.name for span in collector.spans] == ["first", "second"]
    assert relayed.dropped == []


@pytest.mark.usefixtures("quick")
async def test_spans_that_the_collector_refuses_are_counted_as_dropped(
    executor: FakeExecutor, collector: Collector
) -> None:
    collector.status = 400
    relayed = Relayed(executor, collector, "queue", "run")
    async with relayed.relay.running():
        await comes_to_hold(lambda: relayed.dropped)
    assert relayed.dropped == [("executor", 2)]


async def _asked_three_times(collector: Collector) -> None:
    before = collector.asked
    await comes_to_hold(lambda: collector.asked >= before + 3)


@pytest.mark.usefixtures("quick")
async def test_the_oldest_spans_are_dropped_while_the_collector_is_unavailable(
    executor: FakeExecutor, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(span_relay, "_KEPT_BYTES", 600)
    collector.status = 503
    relayed = Relayed(executor, collector, "oldest")
    async with relayed.relay.running():
        for number in range(4):
            await _asked_three_times(collector)
            relayed.say(str(number))
        await comes_to_hold(lambda: relayed.dropped)
        collector.status = 200
        await comes_to_hold(lambda: collector.spans and collector.spans[-1].name == "3")
    assert "oldest" not in {span.name for span in collector.spans}
    assert len(relayed.dropped) + len(collector.spans) == 5


def test_dropped_spans_are_a_metric() -> None:
    metrics = Metrics(SandboxProfile())
    metrics.spans_dropped.inc()
    assert told(metrics.exposition(), "executor_spans_dropped_total") == {(): 1}


def told(text: bytes, name: str) -> dict[tuple[str, ...], float]:
    """The samples of this name, by their labels' values."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if sample.name == name
    }
