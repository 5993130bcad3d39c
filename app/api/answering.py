"""What holds for every request: the headers of its answer, how it is counted, and that a client may go away."""

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
"""nginx's code for a client that closed the connection before it had its answer. The edge logs the same."""
_OTHER = "other"


@dataclass
class _Answer:
    """What is known of one request's answer before it is sent."""

    headers: dict[str, str] = field(default_factory=lambda: {"X-Content-Type-Options": "nosniff"})
    gone: bool = False


def answer_headers(connection: HTTPConnection) -> MutableMapping[str, str]:
    """Headers that the answer to this request will have, whether it succeeds or is refused."""
    return _answer(connection).headers


def note_gone(connection: HTTPConnection) -> None:
    """The client went away before its answer was whole, or did not read it: count the request as that alone."""
    _answer(connection).gone = True


def _answer(connection: HTTPConnection) -> _Answer:
    answer: _Answer = connection.scope["state"][_STATE]
    return answer


class Answering:
    """Around each request. `paths` are the routes' paths: all others are counted as one, so that labels are bounded."""

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
            route = scope["path"] if scope["path"] in self._paths else _OTHER
            seconds = time.perf_counter() - started
            if answer.gone:
                status = _CLIENT_CLOSED_REQUEST
                self._metrics.client_gone(route)
                fields = {"route": route, "status": status, "seconds": round(seconds, 3)}
                _log.info("the client is gone", extra={"fields": fields})
            self._metrics.answered(route, status, seconds)
