"""The executor trusts nobody: what the api checks is checked again on its own socket."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.executor.engine import EngineError
from app.executor.metrics import Metrics
from app.executor.server import build_executor
from app.process.tracing import Tracing
from app.profile import SandboxProfile
from app.wire.problems import Code, Problem
from app.wire.protocol import Execution
from tests.unit.app.fakes import PYTHON, FakeEngine, service

pytestmark = pytest.mark.anyio

HELLO = {"environment": "python", "code": "print()"}


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    metrics = Metrics(SandboxProfile())
    metrics.watch(engine)
    subject = service(engine, PROFILE='{"timeout_seconds": 2, "code_kb": 1}')
    app = build_executor(subject, metrics, Tracing())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://executor") as found:
        yield found


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"image": "evil"}, Code.INVALID_REQUEST),
        ({"environment": "bash"}, Code.UNKNOWN_ENVIRONMENT),
        ({"environment": "image"}, Code.UNKNOWN_ENVIRONMENT),
        ({"timeout": 2.1}, Code.TIMEOUT_TOO_LONG),
        ({"code": "x" * 1025}, Code.CODE_TOO_LONG),
        ({"stdin": "x" * 1025}, Code.INPUT_TOO_LONG),
        ({"terminal": {"columns": 80, "rows": 24}}, Code.INVALID_REQUEST),
        ({"code": ""}, Code.EMPTY_CODE),
        ({"code": None, "files": [{"name": "a", "content": " "}]}, Code.EMPTY_CODE),
        (
            {"code": None, "files": [{"name": "a", "content": "1" * 512}, {"name": "b", "content": "1" * 513}]},
            Code.CODE_TOO_LONG,
        ),
    ],
)
async def test_what_is_not_lawful_never_reaches_the_engine(
    client: httpx.AsyncClient, engine: FakeEngine, change: dict[str, object], code: Code
) -> None:
    response = await client.post("/execute", json={**HELLO, **change})
    problem = Problem.model_validate_json(response.content)
    assert (problem.code, problem.status) == (code, response.status_code)
    assert engine.ran == []


async def test_what_is_lawful_does(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    response = await client.post("/execute", json={**HELLO, "timeout": 2})
    assert (response.status_code, response.json()["status"]) == (200, "success")
    assert engine.ran == [Execution(environment="python", code="print()", timeout=2)]


async def test_health(client: httpx.AsyncClient, engine: FakeEngine) -> None:
    assert (await client.get("/health")).status_code == 200
    engine.fault = EngineError("no space left")
    response = await client.get("/health")
    assert (response.status_code, response.json()["engine"], response.json()["reason"]) == (
        503,
        "failing",
        "no space left",
    )


async def test_environments_and_stats(client: httpx.AsyncClient) -> None:
    assert (await client.get("/environments")).json() == [PYTHON.model_dump(mode="json")]
    assert (await client.get("/stats")).json() == {"running": 0, "waiting": 0, "concurrency": 4}


async def test_metrics_are_prometheus_text(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain")
    assert 'sandbox_pool{environment="python",state="ready"} 1.0' in response.text
