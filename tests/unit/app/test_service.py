"""What a visitor is told of each end, and what becomes of a failing engine."""

import asyncio
from dataclasses import replace
from typing import NoReturn

import pytest

from app.environments import ENVIRONMENTS
from app.executor.engine import EngineError, Exhausted, Outcome, Visitor
from app.executor.metrics import Metrics
from app.executor.service import BrokenEnvironment, survey
from app.executor.transcript import Transcript
from app.profile import FLOOR
from app.wire.problems import Code, Refused
from app.wire.protocol import EnvironmentInfo, Execution, Package, Status
from tests.unit.app.fakes import OUTCOME, FakeEngine, figure, service

pytestmark = pytest.mark.anyio

HELLO = Execution(environment="python", code="print()")


def ends(outcome: Outcome) -> FakeEngine:
    async def behave(execution: Execution, visitor: Visitor) -> Outcome:
        return outcome

    return FakeEngine(behave)


def says(stdout: str, status: Status = Status.SUCCESS) -> FakeEngine:
    return ends(Outcome(status, Transcript(stdout, stdout, "", truncated=False), 0.1))


@pytest.mark.parametrize(
    ("status", "exit_code", "signal", "sentence"),
    [
        (Status.SUCCESS, 0, None, None),
        (Status.ERROR, 3, None, "The code ended with exit code 3."),
        (Status.ERROR, 139, "SIGSEGV", "The code ended by SIGSEGV."),
        (Status.TIMEOUT, None, None, "The code ran longer than its 30 s, and was stopped by the sandbox."),
        (
            Status.MEMORY_LIMIT,
            137,
            "SIGKILL",
            "The code used more than its 256 MB of memory, and was stopped by the sandbox.",
        ),
        (
            Status.OUTPUT_LIMIT,
            None,
            None,
            "The code wrote more than its 10 KB of output, and was stopped by the sandbox.",
        ),
        (
            Status.PROCESS_LIMIT,
            1,
            None,
            "The code ended with exit code 1, after it was refused more than its 50 processes and threads.",
        ),
        (Status.KILLED, None, None, "The code was stopped before its end."),
    ],
)
async def test_the_end_is_explained(
    status: Status, exit_code: int | None, signal: str | None, sentence: str | None
) -> None:
    engine = ends(replace(OUTCOME, status=status, exit_code=exit_code, signal=signal))
    result = await service(engine).execute(HELLO, Visitor())
    assert (result.status, result.exit_code, result.signal, result.error) == (status, exit_code, signal, sentence)
    assert (result.environment, result.execution_time, len(result.execution_id)) == ("python", 0.25, 32)


async def test_the_requested_timeout_is_named() -> None:
    engine = ends(replace(OUTCOME, status=Status.TIMEOUT))
    result = await service(engine).execute(HELLO.model_copy(update={"timeout": 1.5}), Visitor())
    assert result.error is not None
    assert "its 1.5 s" in result.error


async def test_unknown_environment_names_the_known() -> None:
    with pytest.raises(Refused, match="'ruby'; known are python") as caught:
        await service(FakeEngine()).execute(Execution(environment="ruby", code="1"), Visitor())
    assert caught.value.problem.code is Code.UNKNOWN_ENVIRONMENT


async def test_a_failing_run_is_the_platforms_fault_and_keeps_no_sandbox() -> None:
    async def behave(execution: Execution, visitor: Visitor) -> Outcome:
        raise EngineError("secret cause")

    engine = FakeEngine(behave)
    with pytest.raises(Refused, match="not of your code") as caught:
        await service(engine).execute(HELLO, Visitor())
    assert caught.value.problem.code is Code.ENGINE_UNAVAILABLE
    assert "secret" not in caught.value.problem.detail
    assert engine.claimed == set()


async def test_what_the_platform_lacks_is_named() -> None:
    async def behave(execution: Execution, visitor: Visitor) -> Outcome:
        raise Exhausted("memory")

    with pytest.raises(Refused) as caught:
        await service(FakeEngine(behave)).execute(HELLO, Visitor())
    assert (caught.value.problem.code, caught.value.problem.detail) == (
        Code.ENGINE_UNAVAILABLE,
        "The platform had no memory left for your code. This is a fault of the platform, not of your code: "
        "try again later.",
    )


async def test_a_cancelled_run_keeps_no_sandbox() -> None:
    async def behave(execution: Execution, visitor: Visitor) -> Outcome:
        await asyncio.sleep(60)
        return OUTCOME

    engine = FakeEngine(behave)
    run = asyncio.create_task(service(engine).execute(HELLO, Visitor()))
    await asyncio.sleep(0.01)
    assert len(engine.claimed) == 1
    run.cancel()
    await asyncio.wait([run])
    assert engine.claimed == set()


async def test_busy_says_when_to_come_again() -> None:
    engine = FakeEngine()
    engine.busy = True
    with pytest.raises(Refused) as caught:
        service(engine, QUEUE_SECONDS="30").execute(HELLO, Visitor()).send(None)  # It refuses without waiting.
    assert (caught.value.problem.code, caught.value.problem.retry_after) == (Code.BUSY, 30)


async def test_a_wait_for_a_sandbox_has_a_deadline() -> None:
    class Slow(FakeEngine):
        async def claim(self, execution: Execution) -> NoReturn:
            await asyncio.sleep(60)
            raise AssertionError("the wait for a sandbox had no deadline")

    started = asyncio.get_running_loop().time()
    with pytest.raises(Refused) as caught:
        await service(Slow(), QUEUE_SECONDS="0.05").execute(HELLO, Visitor())
    assert caught.value.problem.code is Code.BUSY
    assert asyncio.get_running_loop().time() - started < 1


async def test_health_follows_the_engine() -> None:
    engine = FakeEngine()
    subject = service(engine)
    assert (await subject.health()).engine == "reachable"
    engine.fault = EngineError("no space left")
    found = await subject.health()
    assert (found.engine, found.reason) == ("failing", "no space left")


async def test_what_happens_is_observed() -> None:
    metrics = Metrics(FLOOR)
    await service(FakeEngine(), metrics).execute(HELLO, Visitor())
    await asyncio.sleep(0)  # it is counted in the loop's next round
    assert figure(metrics, "queue_seconds_count", environment="python") == 1
    assert figure(metrics, "execution_seconds_count", environment="python") == 1
    assert figure(metrics, "executions_total", environment="python", status=Status.SUCCESS) == 1


async def test_versions_are_what_the_interpreter_said() -> None:
    engine = says('{"version": "3.13.5", "packages": {"numpy": "2.2"}}')
    assert await survey(engine, ["python"]) == {
        "python": EnvironmentInfo(
            name="python",
            language="python",
            version="3.13.5",
            end_of_life=ENVIRONMENTS["python"].release.end_of_life,
            packages=(Package(name="numpy", version="2.2"),),
            main="main.py",
            example='print("Hello, World!")',
            aliases=("py", "python3"),
        )
    }
    assert engine.claimed == set()


async def test_node_brings_typescript() -> None:
    found = await survey(says('{"version": "24.1.0", "packages": {}}'), ["python", "node"])
    assert [(name, it.version, it.main, it.aliases) for name, it in found.items()][1:] == [
        ("node", "24.1.0", "main.js", ("javascript", "js")),
        ("typescript", "24.1.0", "main.ts", ("ts",)),
    ]


@pytest.mark.parametrize(
    ("code", "stderr", "explained"),
    [
        (126, "/tmp/main.sh: line 1: ./a.sh: Permission denied\n", True),
        (1, "/tmp/main.sh: line 1: ./a.sh: Permission denied\n", False),
        (126, "/tmp/main.sh: line 1: /tmp: Is a directory\n", False),
    ],
)
async def test_a_file_that_cannot_be_executed_is_explained(code: int, stderr: str, explained: bool) -> None:
    transcript = Transcript(stderr, "", stderr, truncated=False)
    engine = ends(replace(OUTCOME, status=Status.ERROR, exit_code=code, transcript=transcript))
    error = (await service(engine).execute(HELLO, Visitor())).error or ""
    assert error.startswith(f"The code ended with exit code {code}.")
    assert ("run a script by its interpreter" in error) is explained


async def test_a_broken_environment_is_named() -> None:
    with pytest.raises(BrokenEnvironment, match=r"'python' does not work: .*python3: not found.*images/sandbox-python"):
        await survey(says("sh: python3: not found", Status.ERROR), ["python"])


async def test_an_environment_of_which_no_sandbox_can_be_made_is_named() -> None:
    engine = FakeEngine()
    engine.fault = EngineError("no such root")
    with pytest.raises(BrokenEnvironment, match="'python' does not work: no such root"):
        await survey(engine, ["python"])
