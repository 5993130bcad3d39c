"""The executor trusts nobody: what the api checks is checked again on its own socket."""

from collections.abc import AsyncIterator

import httpx
import pytest

from app.executor.engine import EngineError, Outcome
from app.executor.server import build_executor
from app.executor.service import Service
from app.executor.settings import executor_settings
from app.executor.transcript import Transcript
from app.problems import Code, Problem
from app.protocol import Execution, Status

pytestmark = pytest.mark.anyio

HELLO = {"environment": "python", "code": "print()"}


class FakeEngine:
    """Succeeds at everything, and remembers what it ran; or is away."""

    def __init__(self) -> None:
        self.active = 0
        self.away = False
        self.ran: list[Execution] = []

    async def run(self, execution_id: str, execution: Execution) -> Outcome:
        self.ran.append(execution)
        return Outcome(Status.SUCCESS, 0, Transcript("", "", "", truncated=False), 0.1)

    async def ping(self) -> None:
        if self.away:
            raise EngineError("no answer")

    async def sweep(self) -> int:
        return 0

    async def close(self) -> None:
        return None


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
async def client(engine: FakeEngine) -> AsyncIterator[httpx.AsyncClient]:
    settings = executor_settings(
        {
            "EXECUTOR_PROFILE": '{"timeout_seconds": 2, "code_kb": 1}',
            "EXECUTOR_ENVIRONMENTS": '{"python": "image"}',
            "EXECUTOR_STACK": "s",
        }
    )
    app = build_executor(Service(engine, settings, {"python": "3.13.5"}))
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
        ({"code": ""}, Code.EMPTY_CODE),
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
    engine.away = True
    response = await client.get("/health")
    assert (response.status_code, response.json()["reason"]) == (503, "no answer")


async def test_environments_and_stats(client: httpx.AsyncClient) -> None:
    assert (await client.get("/environments")).json() == [{"name": "python", "version": "3.13.5"}]
    assert (await client.get("/stats")).json() == {"running": 0, "waiting": 0, "concurrency": 4}
