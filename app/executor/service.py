"""Executions through the engine: bounded in number, with a bounded queue, and answered in words."""

import asyncio
import contextlib
import logging
import math
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import anyio

from app.environments import ENVIRONMENTS
from app.executor.engine import Engine, EngineError, Outcome
from app.executor.settings import ExecutorSettings
from app.problems import Code, Refused
from app.profile import SandboxProfile
from app.protocol import EnvironmentInfo, Execution, ExecutionResult, ExecutorHealth, ExecutorStats, Status

_log = logging.getLogger(__name__)

_ENGINE_RETRY_SECONDS = 10


@dataclass(frozen=True)
class BrokenEnvironment(Exception):
    """An environment's image can't run code. The message names the image and the fix."""

    environment: str
    image: str
    cause: str

    def __str__(self) -> str:
        return (
            f"environment {self.environment!r} does not work in image {self.image}: {self.cause}. "
            f"Build images/sandbox-{self.environment} again, or correct EXECUTOR_ENVIRONMENTS or EXECUTOR_RUNTIME."
        )


async def measure_versions(engine: Engine, images: Mapping[str, str]) -> Mapping[str, str]:
    """The version of each environment, said by its interpreter in a real sandbox, or `BrokenEnvironment`."""

    async def measure(name: str, image: str) -> str:
        execution = Execution(environment=name, code=ENVIRONMENTS[name].version_code)
        try:
            outcome = await engine.run(uuid.uuid4().hex, execution)
        except EngineError as error:
            raise BrokenEnvironment(name, image, str(error)) from error
        version = outcome.transcript.stdout.strip()
        if outcome.status is not Status.SUCCESS or not version:
            said = outcome.transcript.output.strip()
            raise BrokenEnvironment(
                name, image, f"asked for its version, it ended with {outcome.status}, saying {said!r}"
            )
        return version

    return MappingProxyType({name: await measure(name, image) for name, image in images.items()})


class Service:
    """What the executor's socket offers. `versions` is by environment."""

    def __init__(self, engine: Engine, settings: ExecutorSettings, versions: Mapping[str, str]) -> None:
        self._engine = engine
        self._settings = settings
        self._versions = versions
        self._slots = anyio.Semaphore(settings.concurrency, fast_acquire=True)
        self._waiting = 0

    @property
    def profile(self) -> SandboxProfile:
        """The limits of every sandbox."""
        return self._settings.profile

    async def execute(self, execution: Execution) -> ExecutionResult:
        """Run an admitted execution, or `Refused` when its environment is unknown, all is busy or the engine fails."""
        if execution.environment not in self._versions:
            known = ", ".join(self._versions)
            raise Refused(
                Code.UNKNOWN_ENVIRONMENT, f"There is no environment {execution.environment!r}; known are {known}."
            )
        execution_id = uuid.uuid4().hex
        async with self._slot():
            try:
                outcome = await self._engine.run(execution_id, execution)
            except EngineError as error:
                _log.error("execution %s has failed: %s", execution_id, error)
                raise Refused(
                    Code.ENGINE_UNAVAILABLE,
                    "No sandbox could be run. This is a fault of the platform, not of your code: try again later.",
                    _ENGINE_RETRY_SECONDS,
                ) from error
        transcript = outcome.transcript
        return ExecutionResult(
            execution_id=execution_id,
            status=outcome.status,
            output=transcript.output,
            stdout=transcript.stdout,
            stderr=transcript.stderr,
            error=self._explain(outcome, execution),
            exit_code=outcome.exit_code,
            truncated=transcript.truncated,
            execution_time=round(outcome.seconds, 3),
            environment=execution.environment,
        )

    def environments(self) -> tuple[EnvironmentInfo, ...]:
        """What this executor serves."""
        return tuple(EnvironmentInfo(name=name, version=version) for name, version in self._versions.items())

    async def health(self) -> ExecutorHealth:
        """Whether the engine answers now."""
        try:
            await self._engine.ping()
        except EngineError as error:
            return ExecutorHealth(engine="unreachable", active_sandboxes=self._engine.active, reason=str(error))
        return ExecutorHealth(engine="reachable", active_sandboxes=self._engine.active)

    def stats(self) -> ExecutorStats:
        """The load at this moment."""
        concurrency = self._settings.concurrency
        return ExecutorStats(running=concurrency - self._slots.value, waiting=self._waiting, concurrency=concurrency)

    async def sweep_forever(self) -> None:
        """Remove orphaned sandboxes, again and again. An engine that is away is tried again next time."""
        while True:
            await asyncio.sleep(self._settings.sweep_seconds)
            try:
                if swept := await self._engine.sweep():
                    _log.warning("%d orphaned sandboxes were removed", swept)
            except EngineError as error:
                _log.warning("orphaned sandboxes could not be looked for: %s", error)

    async def close(self) -> None:
        """Remove every sandbox of the stack."""
        try:
            await self._engine.close()
        except EngineError as error:
            _log.error("sandboxes may be left for the next start: %s", error)

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        """The right to one sandbox, after a wait in a bounded queue, or `Refused`."""
        settings = self._settings
        if self._slots.value == 0 and self._waiting >= settings.queue:
            raise self._busy()
        self._waiting += 1
        try:
            with anyio.fail_after(settings.queue_seconds):
                await self._slots.acquire()
        except TimeoutError:
            raise self._busy() from None
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    def _busy(self) -> Refused:
        return Refused(
            Code.BUSY,
            "All sandboxes are in use, and so is the queue for them. Try again in a moment.",
            math.ceil(self._settings.queue_seconds),
        )

    def _explain(self, outcome: Outcome, execution: Execution) -> str | None:
        profile = self.profile
        match outcome.status:
            case Status.SUCCESS:
                return None
            case Status.ERROR:
                return f"The code ended with exit code {outcome.exit_code}."
            case Status.TIMEOUT:
                seconds = execution.timeout or profile.timeout_seconds
                return f"The code ran longer than its {seconds:g} s, and was stopped by the sandbox."
            case Status.MEMORY_LIMIT:
                return f"The code used more than its {profile.memory_mb} MB of memory, and was stopped by the sandbox."
            case Status.OUTPUT_LIMIT:
                return f"The code wrote more than its {profile.output_kb} KB of output, and was stopped by the sandbox."
