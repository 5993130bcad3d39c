"""The ids that connect one request's log lines in both processes and its trace."""

import re
import uuid
from collections.abc import Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

REQUEST_ID = "X-Request-Id"
TRACEPARENT = "traceparent"

_REQUEST_ID_SHAPE = re.compile(r"[A-Za-z0-9._-]{1,64}")
_TRACEPARENT_SHAPE = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


@dataclass(frozen=True)
class Correlation:
    """`request_id` comes from the client if it is valid, else it is generated. `traceparent` is W3C Trace Context's."""

    request_id: str
    traceparent: str | None = None

    @property
    def trace_id(self) -> str | None:
        """32 hexadecimal digits; None outside of a trace."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]

    @property
    def headers(self) -> dict[str, str]:
        """Headers that pass the ids to the next process."""
        traceparent = {} if self.traceparent is None else {TRACEPARENT: self.traceparent}
        return {REQUEST_ID: self.request_id, **traceparent}

    @property
    def fields(self) -> dict[str, str]:
        """Fields of each log line of the request."""
        trace = {} if self.trace_id is None else {"trace_id": self.trace_id}
        return {"request_id": self.request_id, **trace}


current: ContextVar[Correlation | None] = ContextVar("correlation", default=None)


def correlation_of(headers: Mapping[str, str]) -> Correlation:
    """The ids in these headers. A missing or malformed request id is replaced, a malformed traceparent ignored."""
    request_id = headers.get(REQUEST_ID, "")
    traceparent = headers.get(TRACEPARENT, "")
    return Correlation(
        request_id=request_id if _REQUEST_ID_SHAPE.fullmatch(request_id) else uuid.uuid4().hex,
        traceparent=traceparent if _TRACEPARENT_SHAPE.fullmatch(traceparent) else None,
    )


class Correlate:
    """Middleware that sets `current` for each request and adds the request id to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. The server gives each its own context, so `current` is not reset."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        correlation = correlation_of(Headers(scope=scope))
        current.set(correlation)

        async def identified(message: Message) -> None:
            if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
                message.setdefault("headers", [])
                MutableHeaders(scope=message)[REQUEST_ID] = correlation.request_id
            await send(message)

        await self._app(scope, receive, identified)
