"""The pool's decisions about sandboxes that wait for code."""

import asyncio

import pytest

from app.executor import pool as module
from app.executor.engine import Busy, EngineError
from app.executor.metrics import Metrics
from app.executor.pool import Pool
from app.executor.settings import Bounds
from app.process.tracing import Tracing
from tests.unit.app.fake_workshop import BASH, PYTHON, FakeWorkshop, Start, ready, settle
from tests.unit.app.fakes import figure
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio


async def test_it_fills_to_the_minimum(start: Start, workshop: FakeWorkshop) -> None:
    pool = await start(python=(2, 4), bash=(1, 1), node=(0, 1))
    assert [ready(pool, name) for name in ("python", "bash", "node")] == [2, 1, 0]
    assert workshop.most_making == 2


async def test_claims_before_the_first_sandbox_raise_no_target(workshop: FakeWorkshop, metrics: Metrics) -> None:
    """The executor's own first executions, which ask for versions, come before there is a sandbox."""
    pool = Pool(workshop, {"python": Bounds(min=1, max=4)}, metrics, 4, 4, tracing=Tracing())
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
    assert ready(pool) == 2  # The pool's maximum, although four claims wait.
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
        pool.claim(PYTHON).send(None)  # It refuses without waiting.
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
    monkeypatch.setattr(module, "_CALM_SECONDS", 0.3)
    pool = await start(python=(1, 3))
    for sandbox in await asyncio.gather(*(pool.claim(PYTHON) for _ in range(4))):
        pool.release(sandbox)
    await comes_to_hold(lambda: ready(pool) == 3)
    await comes_to_hold(lambda: (ready(pool), pool.alive) == (1, 1))


async def test_what_dies_idle_is_replaced(start: Start, workshop: FakeWorkshop, metrics: Metrics) -> None:
    pool = await start()
    workshop.made[0].end.set()
    await settle()
    assert figure(metrics, "died_idle_total", environment="python") == 1
    assert workshop.destroyed == [workshop.made[0].id]
    assert (await pool.claim(PYTHON)).id == workshop.made[1].id


async def test_a_failing_engine_is_told_at_once_and_tried_again(
    start: Start, workshop: FakeWorkshop, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE_SECONDS", 0.02)
    workshop.fault = EngineError("no space left")
    pool = await start()
    with pytest.raises(EngineError, match="no space left"):
        await pool.claim(PYTHON)
    assert pool.fault is workshop.fault
    assert len(workshop.made) == 0
    assert figure(metrics, "engine_errors_total", doing="make") == 1  # The claim did not start another attempt.
    workshop.fault = None
    await asyncio.sleep(1.2)
    assert pool.fault is None
    await pool.claim(PYTHON)


async def test_it_is_tried_again_though_the_timer_comes_early_and_nobody_asks(
    start: Start, workshop: FakeWorkshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock like that of the executor's event loop, which counts in milliseconds."""
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
    start: Start, workshop: FakeWorkshop, metrics: Metrics
) -> None:
    pool = await start()
    sandbox = await pool.claim(PYTHON)
    await settle()
    workshop.fault = EngineError("gone")
    pool.release(sandbox)
    await settle()
    assert figure(metrics, "engine_errors_total", doing="destroy")
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
