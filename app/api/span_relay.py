"""Passes the spans of both processes on to the collector: the executor has no network of its own."""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import anyio
import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from app.process.tracing import Tracing
from app.wire.unix_http import UnixHttp, Unreachable

_log = logging.getLogger(__name__)

_PERIOD_SECONDS = 2.0
_POST_SECONDS = 5.0
_FETCH_SECONDS = 5.0
_LAST_SECONDS = 2.0
"""For what is left at the end. The stop of the process has 5."""
_KEPT_BYTES = 4 * 1024 * 1024
"""Of spans, while the collector is away: about 5,000 executions."""
_HEADERS = {"Content-Type": "application/x-protobuf"}
_TOO_MANY = 429


@dataclass(frozen=True)
class _Batch:
    """An ExportTraceServiceRequest of one process."""

    service: str
    body: bytes

    @property
    def spans(self) -> int:
        request = ExportTraceServiceRequest.FromString(self.body)
        return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


class SpanRelay:
    """To the OTLP/HTTP endpoint `url`. `dropped` is told of spans that were given up: of which service, how many."""

    def __init__(self, url: str, executor: UnixHttp, own: Tracing, dropped: Callable[[str, int], None]) -> None:
        self._url = f"{url.rstrip('/')}/v1/traces"
        self._executor = executor
        self._own = own
        self._dropped = dropped
        self._batches: deque[_Batch] = deque()
        self._failing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Pass on, again and again, and once more at the end."""
        over = asyncio.Event()
        async with httpx.AsyncClient(timeout=_POST_SECONDS, trust_env=False) as client:
            relaying = asyncio.create_task(self._relay(client, over))
            try:
                yield
            finally:
                over.set()
                await asyncio.wait([relaying], timeout=_LAST_SECONDS)
                relaying.cancel()

    async def _relay(self, client: httpx.AsyncClient, over: asyncio.Event) -> None:
        while not over.is_set():
            with anyio.move_on_after(_PERIOD_SECONDS):
                await over.wait()
            await self._pass_on(client)

    async def _pass_on(self, client: httpx.AsyncClient) -> None:
        """Send what there is, the oldest first. What the collector can't take now is tried again the next time."""
        self._keep("api", self._own.take())
        with contextlib.suppress(Unreachable):
            answer = await self._executor.ask("GET", "/spans", _FETCH_SECONDS, {})
            self._keep("executor", answer.body if answer.status == httpx.codes.OK else b"")
        while self._batches and await self._post(client, self._batches[0]):
            self._batches.popleft()

    def _keep(self, service: str, body: bytes) -> None:
        if body:
            self._batches.append(_Batch(service, body))
        while sum(len(batch.body) for batch in self._batches) > _KEPT_BYTES:
            self._give_up(self._batches.popleft(), "there are too many for its absence")

    async def _post(self, client: httpx.AsyncClient, batch: _Batch) -> bool:
        """Whether it is done with: taken, or refused for good."""
        try:
            answer = await client.post(self._url, content=batch.body, headers=_HEADERS)
        except httpx.HTTPError as error:
            self._note_failure(repr(error))
            return False
        if answer.is_server_error or answer.status_code == _TOO_MANY:
            self._note_failure(f"it answered {answer.status_code}")
            return False
        self._failing = False
        if not answer.is_success:
            self._give_up(batch, f"the collector has refused them with {answer.status_code}")
        return True

    def _note_failure(self, why: str) -> None:
        """Once until it works again."""
        if not self._failing:
            _log.warning("the collector of API_OTLP_ENDPOINT takes no spans: %s", why)
        self._failing = True

    def _give_up(self, batch: _Batch, why: str) -> None:
        _log.warning("%d spans of the %s are dropped: %s", batch.spans, batch.service, why)
        self._dropped(batch.service, batch.spans)
