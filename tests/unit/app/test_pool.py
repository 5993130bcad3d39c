"""The pool's decisions, with a workshop whose sandboxes are made and end when the test says so."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable

import pytest

from app.executor import pool as module
from app.executor.engine import Busy, EngineError, Outcome, Sandbox, Visitor
from app.executor.pool import Pool
from app.executor.settings import Bounds
from app.process.tracing import Tracing
from app.wire.protocol import Execution
from tests.unit.app.fakes import OUTCOME, Notes
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio


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
    """Makes a sandbox when the gate is open, or fails with `fault`. One that waits can't run code with arguments."""

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


PYTHON = Execution(environment="python", code="1")
BASH = Execution(environment="bash", code="1")
TO_ORDER = Execution(environment="python", code="1", args=("a",))


async def settle() -> None:
    """Let everything happen that needs no more than a moment."""
    for _ in range(2):
        await asyncio.sleep(module._MOMENT_SECONDS)
        for _ in range(50):
            await asyncio.sleep(0)


Start = Callable[..., Awaitable[Pool]]


@pytest.fixture
def workshop() -> FakeWorkshop:
    return FakeWorkshop()


@pytest.fixture
def notes() -> Notes:
    return Notes()


@pytest.fixture
def start(workshop: FakeWorkshop, notes: Notes) -> Start:
    """A pool that has had time to fill."""

    async def make(concurrency: int = 4, queue: int = 4, **bounds: tuple[int, int]) -> Pool:
        given = {name: Bounds(min=low, max=high) for name, (low, high) in (bounds or {"python": (1, 2)}).items()}
        pool = Pool(workshop, given, notes, concurrency, queue, tracing=Tracing())
        pool.start()
        await settle()
        return pool

    return make


def ready(pool: Pool, environment: str = "python") -> int:
    return pool.pools()[environment].ready


async def test_it_fills_to_the_minimum(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(python=(2, 4), bash=(1, 1), node=(0, 1))
    assert [ready(pool, name) for name in ("python", "bash", "node")] == [2, 1, 0]
    assert workshop.most_making == 2


async def test_claims_before_the_first_sandbox_raise_no_target(workshop: FakeWorkshop, notes: Notes) -> None:
    """The executor's own first executions, which ask for versions, come before there is a sandbox."""
    pool = Pool(workshop, {"python": Bounds(min=1, max=4)}, notes, 4, 4, tracing=Tracing())
    pool.start()
    pool.release(await pool.claim(PYTHON))
    await settle()
    assert ready(pool) == 1


async def test_what_is_claimed_is_replaced_and_destroyed_once(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start()
    sandbox = await pool.claim(PYTHON)
    await settle()
    assert (ready(pool), pool.pools()["python"].running) == (1, 1)
    assert workshop.destroyed == []
    pool.release(sandbox)
    await settle()
    assert workshop.destroyed == [sandbox.id]
    assert (ready(pool), pool.pools()["python"].running, pool.alive) == (1, 0, 1)


async def test_a_claim_that_is_served_at_once_sets_nothing_off_before_its_moment(
    start: Start, workshop: FakeWorkshop
) -> None:
    pool = await start()
    pool.release(await pool.claim(PYTHON))
    for _ in range(50):
        await asyncio.sleep(0)
    assert (len(workshop.made), workshop.destroyed) == (1, [])
    await settle()
    assert (len(workshop.made), len(workshop.destroyed)) == (2, 1)


async def test_no_two_claims_get_the_same(start: Start) -> None:
    pool = await start(python=(2, 4))
    assert len({sandbox.id for sandbox in await asyncio.gather(*(pool.claim(PYTHON) for _ in range(4)))}) == 4


async def test_claims_are_served_in_order(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(python=(0, 1))
    workshop.gate.clear()
    claims = [asyncio.create_task(pool.claim(PYTHON)) for _ in range(3)]
    await settle()
    assert pool.waiting == 3
    workshop.gate.set()
    served = await asyncio.gather(*claims)
    assert [sandbox.id for sandbox in served] == [made.id for made in workshop.made[:3]]


async def test_an_environment_that_is_waited_for_goes_first(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(python=(3, 3), bash=(0, 1))
    workshop.gate.clear()
    for _ in range(3):
        await pool.claim(PYTHON)
    await settle()
    claim = asyncio.create_task(pool.claim(BASH))
    workshop.gate.set()
    await claim
    assert "bash" in [made.environment for made in workshop.made[3:6]]


async def test_more_are_made_at_once_while_claims_wait(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(python=(3, 6))
    assert (ready(pool), workshop.most_making) == (3, 2)
    workshop.gate.clear()
    claims = [asyncio.create_task(pool.claim(PYTHON)) for _ in range(4)]
    await settle()
    assert (pool.waiting, workshop.making) == (1, 3)
    workshop.gate.set()
    await asyncio.gather(*claims)


async def test_concurrency_bounds_what_runs_and_waiting_makes_no_surplus(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(concurrency=1, python=(1, 2))
    first = await pool.claim(PYTHON)
    others = [asyncio.create_task(pool.claim(PYTHON)) for _ in range(4)]
    await settle()
    assert (pool.pools()["python"].running, pool.waiting) == (1, 4)
    assert ready(pool) == 2  # the bound, though four wait
    pool.release(first)
    second = await others[0]
    assert pool.pools()["python"].running == 1
    pool.release(second)
    pool.release(await others[1])
    assert not others[3].done()
    for other in others[2:]:
        other.cancel()


async def test_beyond_the_queue_it_is_busy(start: Start) -> None:
    pool = await start(concurrency=1, queue=1)
    await pool.claim(PYTHON)
    waiting = asyncio.create_task(pool.claim(PYTHON))
    await settle()
    with pytest.raises(Busy):
        pool.claim(PYTHON).send(None)  # at once: it waits for nothing
    assert pool.waiting == 1
    waiting.cancel()


async def test_without_a_queue_a_free_place_is_still_waited_for(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(concurrency=1, queue=0, python=(0, 1))
    pool.release(await pool.claim(PYTHON))


async def test_a_claim_that_is_given_up_leaves_the_queue(start: Start) -> None:
    pool = await start(concurrency=1)
    first = await pool.claim(PYTHON)
    waiting = asyncio.create_task(pool.claim(PYTHON))
    await settle()
    waiting.cancel()
    await settle()
    assert pool.waiting == 0
    pool.release(first)
    await settle()
    assert pool.pools()["python"].running == 0


async def test_a_claim_that_is_given_up_as_it_is_granted_loses_no_sandbox(start: Start) -> None:
    pool = await start(concurrency=1)
    first = await pool.claim(PYTHON)
    waiting = asyncio.create_task(pool.claim(PYTHON))
    await settle()
    pool.release(first)
    waiting.cancel()
    await settle()
    assert (pool.pools()["python"].running, pool.alive) == (0, ready(pool))
    await pool.claim(PYTHON)


async def test_demand_raises_what_is_kept_ready_and_calm_lowers_it(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_CALM_SECONDS", 0.05)
    pool = await start(python=(1, 3))
    for sandbox in await asyncio.gather(*(pool.claim(PYTHON) for _ in range(4))):
        pool.release(sandbox)
    await settle()
    assert ready(pool) == 3
    await asyncio.sleep(0.3)
    assert ready(pool) == 1
    assert pool.alive == 1


async def test_what_dies_idle_is_replaced(start: Start, workshop: FakeWorkshop, notes: Notes) -> None:
    pool = await start()
    workshop.made[0].end.set()
    await settle()
    assert notes.heard.count(("died_idle", "python")) == 1
    assert workshop.destroyed == [workshop.made[0].id]
    assert (await pool.claim(PYTHON)).id == workshop.made[1].id


async def test_a_failing_engine_is_told_at_once_and_tried_again(
    start: Start, workshop: FakeWorkshop, notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.02)
    workshop.fault = EngineError("no space left")
    pool = await start()
    with pytest.raises(EngineError, match="no space left"):
        await pool.claim(PYTHON)
    assert pool.fault is workshop.fault
    assert len(workshop.made) == 0
    assert notes.heard.count(("engine_failed", "make")) == 1  # the claim was no reason to try
    workshop.fault = None
    await asyncio.sleep(1.2)
    assert pool.fault is None
    await pool.claim(PYTHON)


async def test_it_is_tried_again_though_the_timer_comes_early_and_nobody_asks(
    start: Start, workshop: FakeWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the event loop of the executor has it, which counts in milliseconds."""
    loop = asyncio.get_running_loop()
    later = loop.call_later
    monkeypatch.setattr(loop, "call_later", lambda seconds, *what: later(seconds - 0.001, *what))
    workshop.fault = EngineError("no space left")
    pool = await start()
    workshop.fault = None
    await comes_to_hold(lambda: ready(pool) == 1)
    assert pool.fault is None


async def test_who_waits_when_the_engine_fails_is_told(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(python=(0, 1))
    workshop.gate.clear()
    waiting = asyncio.create_task(pool.claim(PYTHON))
    await settle()
    workshop.fault = EngineError("gone")
    workshop.gate.set()
    with pytest.raises(EngineError, match="gone"):
        await waiting
    assert pool.waiting == 0


async def test_one_that_cannot_be_destroyed_is_reported_and_not_counted(
    start: Start, workshop: FakeWorkshop, notes: Notes
) -> None:
    pool = await start()
    sandbox = await pool.claim(PYTHON)
    await settle()
    workshop.fault = EngineError("gone")
    pool.release(sandbox)
    await settle()
    assert ("engine_failed", "destroy") in notes.heard
    assert pool.alive == ready(pool)


async def test_closing_ends_everything(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(concurrency=1)
    await pool.claim(PYTHON)
    waiting = asyncio.create_task(pool.claim(PYTHON))
    await settle()
    await pool.close()
    with pytest.raises(EngineError, match="stopping"):
        await waiting
    with pytest.raises(EngineError, match="stopping"):
        await pool.claim(PYTHON)
    assert workshop.emptied


async def test_an_execution_that_no_waiting_sandbox_can_run_gets_one_made_for_it(
    start: Start, workshop: FakeWorkshop, notes: Notes
) -> None:
    pool = await start()
    sandbox = await pool.claim(TO_ORDER)
    assert (workshop.made_for, sandbox.id) == ([TO_ORDER], workshop.made[-1].id)
    assert (ready(pool), pool.pools()["python"].running, pool.alive) == (1, 1, 2)
    assert notes.heard.count(("made", "python")) == 2
    pool.release(sandbox)
    await settle()
    assert workshop.destroyed == [sandbox.id]
    assert (ready(pool), pool.pools()["python"].running, pool.alive) == (1, 0, 1)


async def test_a_sandbox_made_to_order_counts_as_running_while_it_is_made(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(concurrency=1, queue=1)
    workshop.gate.clear()
    first = asyncio.create_task(pool.claim(TO_ORDER))
    await settle()
    assert (pool.pools()["python"].running, pool.alive) == (1, 2)
    second = asyncio.create_task(pool.claim(PYTHON))
    await settle()
    assert (second.done(), pool.waiting) == (False, 1)
    with pytest.raises(Busy):
        await pool.claim(TO_ORDER)
    workshop.gate.set()
    pool.release(await first)
    pool.release(await second)


async def test_claims_made_to_order_wait_in_the_same_queue_and_fill_no_shelf(
    start: Start, workshop: FakeWorkshop
) -> None:
    pool = await start(concurrency=1, python=(0, 3))
    first = await pool.claim(TO_ORDER)
    waiting = [asyncio.create_task(pool.claim(TO_ORDER)) for _ in range(3)]
    await settle()
    assert (pool.waiting, ready(pool), len(workshop.made)) == (3, 0, 1)
    pool.release(first)
    for claim in waiting:
        pool.release(await claim)
    assert (pool.waiting, len(workshop.made_for)) == (0, 4)


async def test_a_claim_made_to_order_can_be_given_up_in_the_queue(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(concurrency=1)
    first = await pool.claim(PYTHON)
    waiting = asyncio.create_task(pool.claim(TO_ORDER))
    await settle()
    waiting.cancel()
    await settle()
    assert pool.waiting == 0
    pool.release(first)
    await settle()
    assert (pool.pools()["python"].running, workshop.made_for) == (0, [])


@pytest.mark.parametrize("moments", range(4))
async def test_a_claim_made_to_order_can_be_given_up_at_any_moment_of_its_making(
    start: Start, workshop: FakeWorkshop, moments: int
) -> None:
    pool = await start(concurrency=1)
    first = await pool.claim(PYTHON)
    given_up = asyncio.create_task(pool.claim(TO_ORDER))
    await settle()
    next_one = asyncio.create_task(pool.claim(PYTHON))
    workshop.gate.clear()
    pool.release(first)
    for _ in range(moments):
        await asyncio.sleep(0)
    given_up.cancel()
    workshop.gate.set()
    pool.release(await next_one)
    await settle()
    assert (pool.waiting, pool.pools()["python"].running, pool.alive) == (0, 0, ready(pool))


async def test_a_sandbox_that_cannot_be_made_to_order_frees_its_place_at_once(
    start: Start, workshop: FakeWorkshop, notes: Notes
) -> None:
    """Who waits behind it is served, though nothing else happens."""
    pool = await start(concurrency=1, python=(1, 1))
    workshop.gate.clear()
    failing = asyncio.create_task(pool.claim(TO_ORDER))
    await settle()
    waiting = asyncio.create_task(pool.claim(PYTHON))
    await settle()
    workshop.fault = EngineError("no space left")
    workshop.gate.set()
    with pytest.raises(EngineError, match="no space left"):
        await failing
    await asyncio.wait_for(waiting, 1)
    assert ("engine_failed", "make") in notes.heard
    assert (pool.pools()["python"].running, pool.waiting) == (1, 0)


async def test_closing_fails_claims_made_to_order(start: Start) -> None:
    pool = await start(concurrency=1)
    await pool.claim(TO_ORDER)
    waiting = asyncio.create_task(pool.claim(TO_ORDER))
    await settle()
    await pool.close()
    with pytest.raises(EngineError, match="stopping"):
        await waiting
