"""An engine without sandboxes, for the tests of what is around it."""

import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import date

from app.executor.engine import Busy, EngineError, Outcome, PoolState, Visitor
from app.executor.metrics import Metrics
from app.executor.service import Service
from app.executor.settings import ExecutorSettings
from app.executor.transcript import Transcript
from app.process.tracing import Tracing
from app.profile import FLOOR
from app.wire.protocol import EnvironmentInfo, Execution, Status

OUTCOME = Outcome(Status.SUCCESS, Transcript("1.2\n", "1.2\n", "", truncated=False), 0.25, exit_code=0)
PYTHON = EnvironmentInfo(
    name="python",
    language="python",
    version="3",
    end_of_life=date(2030, 1, 1),
    packages=(),
    main="main.py",
    example="",
    aliases=("py",),
)

Behave = Callable[[Execution, Visitor], Awaitable[Outcome]]


async def succeed(execution: Execution, visitor: Visitor) -> Outcome:
    """The shortest run that the soak allows."""
    return OUTCOME


class FakeSandbox:
    """A fake Docker that runs the given commands."""

    def __init__(self, engine: "FakeEngine") -> None:
        self.id = uuid.uuid4().hex
        self._engine = engine

    async def ended(self) -> None:
        return None

    async def run(self, execution: Execution, visitor: Visitor) -> Outcome:
        visitor.started(self.id)
        self._engine.ran.append(execution)
        return await self._engine.behave(execution, visitor)


class FakeEngine:
    """An engine whose sandboxes end as `behave` says, or that is busy or faulty."""

    def __init__(self, behave: Behave = succeed) -> None:
        self.behave = behave
        self.ran: list[Execution] = []
        self.claimed: set[str] = set()
        self.waiting = 0
        self.alive = 0
        self.busy = False
        self.fault: EngineError | None = None

    async def claim(self, execution: Execution) -> FakeSandbox:
        if self.busy:
            raise Busy
        if self.fault:
            raise self.fault
        sandbox = FakeSandbox(self)
        self.claimed.add(sandbox.id)
        return sandbox

    def release(self, sandbox: object) -> None:
        assert isinstance(sandbox, FakeSandbox)
        self.claimed.remove(sandbox.id)

    def pools(self) -> Mapping[str, PoolState]:
        return {"python": PoolState(starting=0, ready=1, running=len(self.claimed))}

    async def close(self) -> None:
        return None


def figure(metrics: Metrics, name: str, **labels: str) -> float | None:
    """The value of a sample of the executor's metrics; None without one."""
    return metrics.registry.get_sample_value(f"sandbox_{name}", labels)


def settings(**changes: str) -> ExecutorSettings:
    """Settings from variables without their prefix."""
    given = {"PROFILE": "{}", "ENVIRONMENTS": '["python"]', **changes}
    return ExecutorSettings.read({f"EXECUTOR_{name}": value for name, value in given.items()})


def service(
    engine: FakeEngine, metrics: Metrics | None = None, tracing: Tracing | None = None, **changes: str
) -> Service:
    """A service on a fake engine, with one environment."""
    return Service(engine, settings(**changes), {"python": PYTHON}, metrics or Metrics(FLOOR), tracing or Tracing())
