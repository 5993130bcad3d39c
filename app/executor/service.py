"""Executions through the engine, and their ends in words."""

import json
import logging
import math
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType

import anyio

from app.environments import ENVIRONMENTS, VARIANTS, Environment
from app.executor.engine import Busy, Engine, EngineError, Outcome, Sandbox, Visitor
from app.executor.metrics import Metrics
from app.executor.settings import ExecutorSettings
from app.process.later import later
from app.process.tracing import Tracing
from app.profile import NOT_EXECUTABLE, SandboxProfile
from app.wire.problems import Code, Refused
from app.wire.protocol import (
    EnvironmentInfo,
    Execution,
    ExecutionResult,
    ExecutorHealth,
    ExecutorStats,
    Package,
    Status,
)

_log = logging.getLogger(__name__)

_ENGINE_RETRY_SECONDS = 10
_NOT_EXECUTABLE, _DENIED = 126, "Permission denied"
"""A shell's exit code for a program that it has found and can't execute, and what it says of it."""
_ENDS = {
    Status.SUCCESS: "",
    Status.ERROR: "The code ended {how}.",
    Status.TIMEOUT: "The code ran longer than its {seconds:g} s, and was stopped by the sandbox.",
    Status.MEMORY_LIMIT: "The code used more than its {memory_mb} MB of memory, and was stopped by the sandbox.",
    Status.OUTPUT_LIMIT: "The code wrote more than its {output_kb} KB of output, and was stopped by the sandbox.",
    Status.PROCESS_LIMIT: "The code ended {how}, after it was refused more than its {pids} processes and threads.",
    Status.KILLED: "The code was stopped before its end.",
}
"""What the answer says of each end: nothing of a success. The names of limits stand for the profile's."""
_ABANDONED, _FAILED = "abandoned", "failed"
"""Statuses, in the log alone, of executions without an outcome: the client went away, or the engine."""


class BrokenEnvironment(Exception):
    """An environment can't run code. The message names it and the fix."""

    def __init__(self, environment: str, cause: str) -> None:
        super().__init__(
            f"environment {environment!r} does not work: {cause}. Build images/{ENVIRONMENTS[environment].image} "
            "again, or correct EXECUTOR_ENVIRONMENTS or EXECUTOR_RUNTIME."
        )


async def survey(engine: Engine, names: Iterable[str]) -> Mapping[str, EnvironmentInfo]:
    """The versions in each environment, said by its interpreter in a real sandbox, or `BrokenEnvironment`."""

    async def ask(name: str) -> EnvironmentInfo:
        environment = ENVIRONMENTS[name]
        try:
            execution = Execution(environment=name, code=environment.survey)
            sandbox = await engine.claim(execution)
            try:
                outcome = await sandbox.run(execution, Visitor())
            finally:
                engine.release(sandbox)
        except EngineError as error:
            raise BrokenEnvironment(name, str(error)) from error
        try:
            found = json.loads(outcome.transcript.stdout)
            packages = tuple(Package(name=package, version=version) for package, version in found["packages"].items())
            return _info(environment, found["version"], packages)
        except (ValueError, KeyError, TypeError):
            said = outcome.transcript.output.strip()
            raise BrokenEnvironment(
                name, f"asked for its versions, it ended with {outcome.status}, saying {said!r}"
            ) from None

    asked = {name: await ask(name) for name in names}
    variants = {
        name: _info(variant, home.version, home.packages)
        for name, variant in VARIANTS.items()
        if (home := asked.get(variant.within or ""))
    }
    return MappingProxyType(asked | variants)


def _info(environment: Environment, version: str, packages: tuple[Package, ...]) -> EnvironmentInfo:
    return EnvironmentInfo(
        name=environment.name,
        language=environment.language,
        version=version,
        end_of_life=environment.release.end_of_life,
        packages=packages,
        main=environment.main,
        example=environment.hello,
        aliases=environment.aliases,
    )


class Service:
    """What the executor's socket offers. `environments` is by name."""

    def __init__(
        self,
        engine: Engine,
        settings: ExecutorSettings,
        environments: Mapping[str, EnvironmentInfo],
        metrics: Metrics,
        tracing: Tracing,
    ) -> None:
        self._engine = engine
        self._settings = settings
        self._environments = environments
        self._metrics = metrics
        self._tracing = tracing

    @property
    def profile(self) -> SandboxProfile:
        """The limits of every sandbox."""
        return self._settings.profile

    async def execute(self, execution: Execution, visitor: Visitor) -> ExecutionResult:
        """Run an admitted execution, or `Refused` when its environment is unknown, all is busy or the engine fails."""
        if execution.environment not in self._environments:
            known = ", ".join(self._environments)
            raise Refused(
                Code.UNKNOWN_ENVIRONMENT, f"There is no environment {execution.environment!r}; known are {known}."
            )
        with self._tracing.span("execution") as annotate:
            annotate("sandbox.environment", execution.environment)
            identity, outcome = await self._run(execution, visitor)
            annotate("sandbox.execution_id", identity)
            annotate("sandbox.status", outcome.status)
        transcript = outcome.transcript
        return ExecutionResult(
            execution_id=identity,
            status=outcome.status,
            output=transcript.output,
            stdout=transcript.stdout,
            stderr=transcript.stderr,
            error=self._explain(outcome, execution),
            exit_code=outcome.exit_code,
            signal=outcome.signal,
            truncated=transcript.truncated,
            execution_time=round(outcome.seconds, 4),
            cpu_time=None if outcome.cpu_time is None else round(outcome.cpu_time, 4),
            memory_peak=outcome.memory_peak,
            files=outcome.files,
            warnings=outcome.warnings,
            environment=execution.environment,
        )

    def environments(self) -> tuple[EnvironmentInfo, ...]:
        """What this executor serves."""
        return tuple(self._environments.values())

    async def health(self) -> ExecutorHealth:
        """Whether sandboxes can be made."""
        running = self._running
        if fault := self._engine.fault:
            return ExecutorHealth(engine="failing", active_sandboxes=running, reason=str(fault))
        return ExecutorHealth(engine="reachable", active_sandboxes=running)

    def stats(self) -> ExecutorStats:
        """The load at this moment."""
        return ExecutorStats(
            running=self._running, waiting=self._engine.waiting, concurrency=self._settings.concurrency
        )

    async def close(self) -> None:
        """Remove every sandbox."""
        await self._engine.close()

    @property
    def _running(self) -> int:
        return sum(state.running for state in self._engine.pools().values())

    async def _run(self, execution: Execution, visitor: Visitor) -> tuple[str, Outcome]:
        """The execution's id and its outcome, or `Refused`."""
        sandbox: Sandbox | None = None
        outcome: Outcome | None = None
        end = _ABANDONED
        try:
            sandbox = await self._claim(execution)
            with self._tracing.span("run"):
                outcome = await sandbox.run(execution, visitor)
            end = outcome.status
            return sandbox.id, outcome
        except EngineError as error:
            end = _FAILED
            _log.error("an execution of %s has failed: %s", execution.environment, error)
            raise Refused(
                Code.ENGINE_UNAVAILABLE,
                f"{error.told} This is a fault of the platform, not of your code: try again later.",
                _ENGINE_RETRY_SECONDS,
            ) from error
        finally:
            if sandbox:
                self._engine.release(sandbox)
                later(self._account, execution.environment, sandbox.id, end, outcome)

    def _account(self, environment: str, identity: str, end: str, outcome: Outcome | None) -> None:
        """Count and log an execution that had a sandbox."""
        if outcome is not None:
            self._metrics.executions.labels(environment, end).inc()
            self._metrics.run_seconds.labels(environment).observe(outcome.seconds)
        fields = {"execution_id": identity, "environment": environment, "status": end}
        _log.info("sandbox released", extra={"fields": fields})

    async def _claim(self, execution: Execution) -> Sandbox:
        """A sandbox, after a wait in a queue that is bounded in length and time, or `Refused`."""
        started = time.monotonic()
        try:
            with anyio.fail_after(self._settings.queue_seconds):
                sandbox = await self._engine.claim(execution)
        except (TimeoutError, Busy):
            raise Refused(
                Code.BUSY,
                "All sandboxes are in use, and so is the queue for them. Try again in a moment.",
                math.ceil(self._settings.queue_seconds),
            ) from None
        self._metrics.queue_seconds.labels(execution.environment).observe(time.monotonic() - started)
        return sandbox

    def _explain(self, outcome: Outcome, execution: Execution) -> str | None:
        how = f"with exit code {outcome.exit_code}" if outcome.signal is None else f"by {outcome.signal}"
        seconds = execution.timeout or self.profile.timeout_seconds
        sentence = _ENDS[outcome.status].format(how=how, seconds=seconds, **self.profile.limits()) or None
        if sentence and outcome.exit_code == _NOT_EXECUTABLE and _DENIED in outcome.transcript.output:
            return f"{sentence} {NOT_EXECUTABLE}"
        return sentence
