"""What every interface does with an execution: rate limit, pattern check, run, metrics, log."""

import contextlib
import hashlib
import logging
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import TypeVar

from starlette.requests import HTTPConnection, Request

from app.api.clients import CLIENT, Client
from app.api.executor_client import ExecutorClient, ExecutorStream, Said
from app.api.keys import KeyRing
from app.api.leases import Budgets
from app.api.metrics import Metrics
from app.api.packages import Packages
from app.api.patterns import Pattern, dangerous
from app.api.rate import RateLimit
from app.process.later import later
from app.process.tracing import Tracing
from app.profile import SandboxProfile
from app.wire.admission import read_body
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution, ExecutionResult

R = TypeVar("R", bound=ExecutionResult)

_log = logging.getLogger(__name__)

_ABANDONED = "abandoned"
"""Logged as the status of an execution whose client disconnected."""


@dataclass(frozen=True)
class Executions:
    """Runs executions within the profile.

    With `refuse_patterns`, dangerous patterns in the code are refused; otherwise the answer has warnings. With
    `log_code`, visitors' code is logged.
    """

    executor: ExecutorClient
    packages: Packages
    profile: SandboxProfile
    keys: KeyRing
    rate: RateLimit
    budgets: Budgets
    metrics: Metrics
    tracing: Tracing
    refuse_patterns: bool
    log_code: bool

    def client(self, connection: HTTPConnection) -> Client:
        """Who sends a request; `Refused` when its key is unknown or not for its origin. Further calls are for it."""
        client = self.keys.client(connection)
        CLIENT.set(client)
        return client

    async def admit(self, connection: HTTPConnection) -> Client:
        """Count one execution of a request's client, before its body is read; `Refused` beyond the rate limit."""
        client = self.client(connection)
        await self.count(client)
        return client

    async def count(self, client: Client, executions: int = 1, counted: int = 0) -> None:
        """Count executions of which some are counted already; `Refused` beyond the rate limit."""
        try:
            await self.rate.count(client, executions, counted)
        except Refused as refused:
            self.metrics.of_key(client, refused.problem.code)
            raise
        self.metrics.of_key(client, "admitted")

    async def body(self, request: Request) -> bytes:
        """The body of a request that is within the client's rate limit; otherwise `Refused`."""
        await self.admit(request)
        return await read_body(request, self.profile)

    async def run(self, execution: Execution) -> Said[ExecutionResult]:
        """Run it and return the result with the executor's JSON; `Refused` when the executor refuses or fails."""
        with self._recorded(execution) as record:
            async with self.budgets.leased(CLIENT.get(), execution, record):
                return record.finish(await self.executor.execute(execution))

    @contextlib.asynccontextmanager
    async def stream(self, execution: Execution) -> AsyncIterator[ExecutorStream]:
        """Start it and stream its events. Leaving the context cancels it."""
        with self._recorded(execution) as record, self.metrics.streams.track_inprogress():
            async with (
                self.budgets.leased(CLIENT.get(), execution, record),
                self.executor.stream(execution, record.finish) as stream,
            ):
                yield stream

    @contextlib.contextmanager
    def _recorded(self, execution: Execution) -> Iterator["_Record"]:
        record = _Record(self._look(execution))
        refused = False
        with self.tracing.span("execute") as annotate:
            try:
                yield record
            except Refused as refusal:
                refused = True
                annotate("sandbox.refused", refusal.problem.code)
                raise
            finally:
                if not refused:
                    later(self._account, execution, record)
                if record.result is not None:
                    annotate("sandbox.environment", record.result.environment)
                    annotate("sandbox.execution_id", record.result.execution_id)
                    annotate("sandbox.status", record.result.status)

    def _look(self, execution: Execution) -> tuple[Pattern, ...]:
        found = dangerous(execution.home, (code.decode(errors="replace") for code in execution.sources.values()))
        for pattern in found:
            self.metrics.patterns.labels(pattern.name).inc()
        if found and self.refuse_patterns:
            raise Refused(Code.DANGEROUS_PATTERN, " ".join(pattern.warning for pattern in found))
        return found

    def _account(self, execution: Execution, record: "_Record") -> None:
        """Count it, and log one line of metadata, with the code's size in bytes and SHA-256.

        The code itself is logged only with `log_code`.
        """
        code = b"".join(execution.sources.values())
        result = record.result
        if result is not None:
            self.metrics.executed(result, record.seconds)
        fields = {
            "execution_id": None if result is None else result.execution_id,
            "environment": execution.environment,
            "status": _ABANDONED if result is None else result.status,
            "seconds": None if result is None else result.execution_time,
            "code_bytes": len(code),
            "code_sha256": hashlib.sha256(code).hexdigest(),
            "patterns": [pattern.name for pattern in record.patterns],
            **({"key": key.name} if (key := CLIENT.get().key) else {}),
            **({"code": code.decode(errors="replace")} if self.log_code else {}),
        }
        _log.info("execution", extra={"fields": fields})


class _Record:
    """The state of one execution for metrics and log. `seconds` is the time from admission to the result."""

    def __init__(self, patterns: tuple[Pattern, ...]) -> None:
        self.patterns = patterns
        self.result: ExecutionResult | None = None
        self.seconds = 0.0
        self._admitted = time.perf_counter()

    def finish(self, said: Said[R]) -> Said[R]:
        """The result for the visitor. The executor's JSON is kept unless there are warnings to add."""
        self.result = said.message
        self.seconds = time.perf_counter() - self._admitted
        if not self.patterns:
            return said
        warnings = (*said.message.warnings, *(pattern.warning for pattern in self.patterns))
        result = said.message.model_copy(update={"warnings": warnings})
        return Said(result, result.model_dump_json().encode())
