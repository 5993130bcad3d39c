"""Middleware for every request: headers of the answer, metrics, and a log line when the client disconnects."""

import logging
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.api.metrics import Metrics

_log = logging.getLogger(__name__)

_STATE = "answering"
_SWITCHING_PROTOCOLS = 101
_CLIENT_CLOSED_REQUEST = 499
"""nginx's code for a client that closes its connection before the answer is complete. Traefik logs the same code."""
_OTHER = "other"


@dataclass
class _Answer:
    """Headers to add to the answer of one request, and whether its client disconnected."""

    headers: dict[str, str] = field(default_factory=lambda: {"X-Content-Type-Options": "nosniff"})
    gone: bool = False


def answer_headers(connection: HTTPConnection) -> MutableMapping[str, str]:
    """Headers to add to the answer of this request, whether it succeeds or is refused. The caller may change them."""
    return _answer(connection).headers


def note_gone(connection: HTTPConnection) -> None:
    """Count this request with status 499: its client disconnected, or stopped sending or reading."""
    _answer(connection).gone = True


def _answer(connection: HTTPConnection) -> _Answer:
    answer: _Answer = connection.scope["state"][_STATE]
    return answer


class Answering:
    """The middleware. Requests of paths that are not in `paths` share one label, so the number of labels is bounded."""

    def __init__(self, app: ASGIApp, metrics: Metrics, paths: frozenset[str]) -> None:
        self._app = app
        self._metrics = metrics
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        answer = _Answer()
        scope.setdefault("state", {})[_STATE] = answer
        started = time.perf_counter()
        status = 500

        async def completed(message: Message) -> None:
            nonlocal status
            if message["type"] in {"http.response.start", "websocket.accept", "websocket.http.response.start"}:
                status = message.get("status", _SWITCHING_PROTOCOLS)
                message.setdefault("headers", [])
                MutableHeaders(scope=message).update(answer.headers)
            await send(message)

        try:
            await self._app(scope, receive, completed)
        finally:
            route = path if (path := _pattern(scope)) in self._paths else _OTHER
            seconds = time.perf_counter() - started
            if answer.gone:
                status = _CLIENT_CLOSED_REQUEST
                self._metrics.clients_gone.labels(route).inc()
                fields = {"route": route, "status": status, "seconds": round(seconds, 3)}
                _log.info("client disconnected", extra={"fields": fields})
            self._metrics.answered(route, status, seconds)


def _pattern(scope: Scope) -> str:
    """The path as its route has it: with the names of what varies. Starlette has matched it."""
    path: str = scope["path"]
    for name, value in scope.get("path_params", {}).items():
        path = path.replace(value, f"{{{name}}}", 1)
    return path
