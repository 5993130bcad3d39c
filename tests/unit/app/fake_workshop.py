"""A workshop whose sandboxes are made and end when the test says so, and pools with it."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

from app.executor import pool as module
from app.executor.engine import EngineError, Outcome, Sandbox, Visitor
from app.executor.pool import Pool
from app.wire.protocol import Execution
from tests.unit.app.fakes import OUTCOME

PYTHON = Execution(environment="python", code="1")
BASH = Execution(environment="bash", code="1")
TO_ORDER = Execution(environment="python", code="1", args=("a",))


Start = Callable[..., Awaitable[Pool]]
"""Starts a pool, which has had time to fill. See the fixture `start` in conftest.py."""


class FakeSandbox:
    """Ends when `end` is set."""

    def __init__(self, environment: str) -> None:
        self.id = uuid.uuid4().hex
        self.environment = environment
        self.end = asyncio.Event()

    async def ended(self) -> None:
        await self.end.wait()

    async def run(self, execution: Execution, visitor: Visitor) -> Outcome:
        return OUTCOME


class FakeWorkshop:
    """Makes sandboxes while the gate is open, or fails with `fault`. A waiting one can't run code with arguments."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.gate.set()
        self.fault: EngineError | None = None
        self.making = self.most_making = 0
        self.made: list[FakeSandbox] = []
        self.destroyed: list[str] = []
        self.made_for: list[Execution] = []
        self.emptied = False

    def fits(self, execution: Execution) -> bool:
        return not execution.args

    async def make(self, environment: str, execution: Execution | None = None) -> FakeSandbox:
        self.making += 1
        self.most_making = max(self.making, self.most_making)
        try:
            await asyncio.sleep(0)
            await self.gate.wait()
            if self.fault:
                raise self.fault
        finally:
            self.making -= 1
        self.made.append(FakeSandbox(environment))
        if execution:
            self.made_for.append(execution)
        return self.made[-1]

    async def destroy(self, sandbox: Sandbox) -> None:
        if self.fault:
            raise self.fault
        self.destroyed.append(sandbox.id)

    async def remove_all(self) -> None:
        self.emptied = True


async def settle() -> None:
    """Run the event loop until it has nothing to do at once."""
    for _ in range(2):
        await asyncio.sleep(module._MOMENT_SECONDS)
        for _ in range(50):
            await asyncio.sleep(0)


def ready(pool: Pool, environment: str = "python") -> int:
    """How many sandboxes of an environment are ready."""
    return pool.pools()[environment].ready
