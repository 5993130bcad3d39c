"""What holds for every answer: its headers, and that it is counted."""

import time
from collections.abc import MutableMapping

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.metrics import Metrics

_STATE = "answer_headers"
_SWITCHING_PROTOCOLS = 101
_OTHER = "other"
_ALWAYS = {"X-Content-Type-Options": "nosniff"}


def answer_headers(connection: HTTPConnection) -> MutableMapping[str, str]:
    """Headers that the answer to this request will have, whether it succeeds or is refused."""
    headers: MutableMapping[str, str] = connection.scope["state"][_STATE]
    return headers


class Answering:
    """Around each request. `paths` are those that are there: all others count as one, so that strangers add none."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = dict(_ALWAYS)
        scope.setdefault("state", {})[_STATE] = headers
        started = time.perf_counter()
        status = 500

        async def completed(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
                status = message.get("status", _SWITCHING_PROTOCOLS)
                message.setdefault("headers", [])
                MutableHeaders(scope=message).update(headers)
            await send(message)

        try:
            await self._app(scope, receive, completed)
        finally:
            route = scope["path"] if scope["path"] in self._paths else _OTHER
            self._metrics.answered(route, status, time.perf_counter() - started)
