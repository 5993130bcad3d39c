"""The pool's decisions about executions that no waiting sandbox can run."""

import asyncio

import pytest

from app.executor.engine import Busy, EngineError
from app.executor.metrics import Metrics
from tests.unit.app.fake_workshop import PYTHON, TO_ORDER, FakeWorkshop, Start, ready, settle
from tests.unit.app.fakes import figure

pytestmark = pytest.mark.anyio


async def test_an_execution_that_no_waiting_sandbox_can_run_gets_one_made_for_it(
    start: Start, workshop: FakeWorkshop, metrics: Metrics
) -> None:
    pool = await start()
    sandbox = await pool.claim(TO_ORDER)
    assert (workshop.made_for, sandbox.id) == ([TO_ORDER], workshop.made[-1].id)
    assert (ready(pool), pool.pools()["python"].running, pool.alive) == (1, 1, 2)
    assert figure(metrics, "make_seconds_count", environment="python") == 2
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
    start: Start, workshop: FakeWorkshop, metrics: Metrics
) -> None:
    """The claims behind it are served without another event."""
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
    assert figure(metrics, "engine_errors_total", doing="make")
    assert (pool.pools()["python"].running, pool.waiting) == (1, 0)


async def test_closing_fails_claims_made_to_order(start: Start) -> None:
    pool = await start(concurrency=1)
    await pool.claim(TO_ORDER)
    waiting = asyncio.create_task(pool.claim(TO_ORDER))
    await settle()
    await pool.close()
    with pytest.raises(EngineError, match="stopping"):
        await waiting
