"""Sends the spans of both processes to the collector: the executor has no network."""

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
"""Seconds to send the remaining spans when the process stops, which may take 5 s."""
_KEPT_BYTES = 4 * 1024 * 1024
"""Bytes of spans that are kept while the collector is unavailable: about 5,000 executions."""
_HEADERS = {"Content-Type": "application/x-protobuf"}


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
    """Sends to the OTLP/HTTP endpoint `url`. `dropped` is called with the service and the number of lost spans."""

    def __init__(self, url: str, executor: UnixHttp, own: Tracing, dropped: Callable[[str, int], None]) -> None:
        self._url = f"{url.rstrip('/')}/v1/traces"
        self._executor = executor
        self._own = own
        self._dropped = dropped
        self._batches: deque[_Batch] = deque()
        self._failing = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send spans every 2 s while the context is open, and once more at its end."""
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
        """Send all spans, the oldest first. Those that the collector can't take now are sent again the next time."""
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
            self._give_up(self._batches.popleft(), "the collector has been unavailable for too long")

    async def _post(self, client: httpx.AsyncClient, batch: _Batch) -> bool:
        """Send a batch. False when it has to be sent again."""
        try:
            answer = await client.post(self._url, content=batch.body, headers=_HEADERS)
        except httpx.HTTPError as error:
            self._note_failure(repr(error))
            return False
        if answer.is_server_error or answer.status_code == httpx.codes.TOO_MANY_REQUESTS:
            self._note_failure(f"it answered {answer.status_code}")
            return False
        self._failing = False
        if not answer.is_success:
            self._give_up(batch, f"the collector has refused them with {answer.status_code}")
        return True

    def _note_failure(self, why: str) -> None:
        """Log the failure once until sending works again."""
        if not self._failing:
            _log.warning("the collector of API_OTLP_ENDPOINT takes no spans: %s", why)
        self._failing = True

    def _give_up(self, batch: _Batch, why: str) -> None:
        _log.warning("%d spans of the %s are dropped: %s", batch.spans, batch.service, why)
        self._dropped(batch.service, batch.spans)
