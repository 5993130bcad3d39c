"""Bounded concurrency, the queue, and the words that explain how a run ended."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.executor.engine import EngineError, Outcome
from app.executor.service import BrokenEnvironment, Service, measure_versions
from app.executor.settings import ExecutorSettings, executor_settings
from app.executor.transcript import Transcript
from app.problems import Code, Refused
from app.protocol import Execution, Status

pytestmark = pytest.mark.anyio

HELLO = Execution(environment="python", code="print()")
OUTCOME = Outcome(Status.SUCCESS, 0, Transcript("1.2\n", "1.2\n", "", truncated=False), 0.25)


class FakeEngine:
    """Ends each run with what `behave` gives."""

    def __init__(self, behave: Callable[[], Awaitable[Outcome]]) -> None:
        self._behave = behave
        self.active = 0
        self.swept_twice = asyncio.Event()
        self.sweeps = 0
        self.away = False

    async def run(self, execution_id: str, execution: Execution) -> Outcome:
        return await self._behave()

    async def ping(self) -> None:
        if self.away:
            raise EngineError("gone")

    async def sweep(self) -> int:
        self.sweeps += 1
        if self.sweeps == 2:
            self.swept_twice.set()
        if self.away:
            raise EngineError("gone")
        return 1

    async def close(self) -> None:
        return None


def ends(outcome: Outcome) -> FakeEngine:
    async def behave() -> Outcome:
        return outcome

    return FakeEngine(behave)


def settings(**changes: str) -> ExecutorSettings:
    given = {"PROFILE": "{}", "ENVIRONMENTS": '{"python": "img"}', "STACK": "s", **changes}
    return executor_settings({f"EXECUTOR_{name}": value for name, value in given.items()})


def service(engine: FakeEngine, **changes: str) -> Service:
    return Service(engine, settings(**changes), {"python": "3"})


@pytest.mark.parametrize(
    ("status", "exit_code", "sentence"),
    [
        (Status.SUCCESS, 0, None),
        (Status.ERROR, 3, "The code ended with exit code 3."),
        (Status.TIMEOUT, None, "The code ran longer than its 30 s, and was stopped by the sandbox."),
        (Status.MEMORY_LIMIT, 137, "The code used more than its 256 MB of memory, and was stopped by the sandbox."),
        (Status.OUTPUT_LIMIT, None, "The code wrote more than its 10 KB of output, and was stopped by the sandbox."),
    ],
)
async def test_the_end_is_explained(status: Status, exit_code: int | None, sentence: str | None) -> None:
    result = await service(ends(Outcome(status, exit_code, OUTCOME.transcript, 0.25))).execute(HELLO)
    assert (result.status, result.exit_code, result.error) == (status, exit_code, sentence)
    assert (result.environment, result.execution_time, len(result.execution_id)) == ("python", 0.25, 32)


async def test_the_requested_timeout_is_named() -> None:
    outcome = Outcome(Status.TIMEOUT, None, OUTCOME.transcript, 1)
    result = await service(ends(outcome)).execute(HELLO.model_copy(update={"timeout": 1.5}))
    assert result.error is not None
    assert "its 1.5 s" in result.error


async def test_unknown_environment_names_the_known() -> None:
    with pytest.raises(Refused, match="'ruby'; known are python") as caught:
        await service(ends(OUTCOME)).execute(Execution(environment="ruby", code="1"))
    assert caught.value.problem.code is Code.UNKNOWN_ENVIRONMENT


async def test_a_failing_engine_is_the_platforms_fault() -> None:
    async def behave() -> Outcome:
        raise EngineError("secret cause")

    subject = service(FakeEngine(behave))
    for _ in range(5):  # more than the slots: each must be given back
        with pytest.raises(Refused, match="not of your code") as caught:
            await subject.execute(HELLO)
        assert caught.value.problem.code is Code.ENGINE_UNAVAILABLE
        assert "secret" not in caught.value.problem.detail
    assert subject.stats().running == 0


async def test_full_means_wait_then_busy() -> None:
    release = asyncio.Event()

    async def behave() -> Outcome:
        await release.wait()
        return OUTCOME

    subject = service(FakeEngine(behave), CONCURRENCY="1", QUEUE="1", QUEUE_SECONDS="30")
    first = asyncio.create_task(subject.execute(HELLO))
    second = asyncio.create_task(subject.execute(HELLO))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert (subject.stats().running, subject.stats().waiting) == (1, 1)
    with pytest.raises(Refused) as caught:
        await subject.execute(HELLO)
    assert (caught.value.problem.code, caught.value.problem.retry_after) == (Code.BUSY, 30)
    release.set()
    assert [(await first).status, (await second).status] == [Status.SUCCESS] * 2
    assert (subject.stats().running, subject.stats().waiting) == (0, 0)


async def test_the_queue_has_a_deadline_and_loses_no_slot() -> None:
    release = asyncio.Event()

    async def behave() -> Outcome:
        await release.wait()
        return OUTCOME

    subject = service(FakeEngine(behave), CONCURRENCY="1", QUEUE_SECONDS="0.05")
    first = asyncio.create_task(subject.execute(HELLO))
    await asyncio.sleep(0)
    with pytest.raises(Refused) as caught:
        await subject.execute(HELLO)
    assert caught.value.problem.code is Code.BUSY
    cancelled = asyncio.create_task(subject.execute(HELLO))
    await asyncio.sleep(0)
    cancelled.cancel()
    release.set()
    await first
    assert (await subject.execute(HELLO)).status is Status.SUCCESS
    assert (subject.stats().running, subject.stats().waiting) == (0, 0)


async def test_health_follows_the_engine() -> None:
    engine = ends(OUTCOME)
    subject = service(engine)
    assert (await subject.health()).engine == "reachable"
    engine.away = True
    found = await subject.health()
    assert (found.engine, found.reason) == ("unreachable", "gone")
    engine.away = False
    assert (await subject.health()).engine == "reachable"


async def test_sweeping_goes_on_after_the_engine_was_away() -> None:
    engine = ends(OUTCOME)
    engine.away = True
    sweeper = asyncio.create_task(service(engine, SWEEP_SECONDS="0.01").sweep_forever())
    async with asyncio.timeout(5):
        await engine.swept_twice.wait()
    assert not sweeper.done()
    sweeper.cancel()


async def test_versions_are_what_the_interpreter_said() -> None:
    assert await measure_versions(ends(OUTCOME), {"python": "img"}) == {"python": "1.2"}


async def test_a_broken_image_is_named() -> None:
    broken = Outcome(Status.ERROR, 127, Transcript("sh: python3: not found", "", "", truncated=False), 0.1)
    with pytest.raises(BrokenEnvironment, match=r"'python' does not work in image img: .*python3: not found"):
        await measure_versions(ends(broken), {"python": "img"})
