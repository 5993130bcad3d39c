"""The HTTP interface of the packages service: on a Unix socket to the api, or by TCP to the copy services of units."""

import asyncio
from typing import Protocol

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.packages.metrics import Metrics
from app.packages.sending import SENT_AT_ONCE, SetStream
from app.packages.store import Store
from app.process.connection import while_connected
from app.process.correlation import Correlate
from app.wire.admission import parse
from app.wire.packages import SET_ID, News, Wanted
from app.wire.problems import Code, Refused, exception_handlers

_LONGEST_BODY = 1024 * 1024


class Prepares(Protocol):
    """Makes sets, or copies them."""

    async def prepare(self, wanted: Wanted) -> News:
        """The set or its refusal, or the next step towards it."""


def build_packages(prepares: Prepares, metrics: Metrics, sent: Store | None = None, seconds: float = 0) -> ASGIApp:
    """The application. Copies are made of the sets in `sent`, each within so many `seconds`; None: of none."""
    sending = asyncio.Semaphore(SENT_AT_ONCE)

    async def health(_: Request) -> Response:
        return Response("{}", media_type="application/json")

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def prepare(request: Request) -> Response:
        wanted = parse(Wanted, await _body(request))
        news = await while_connected(request, prepares.prepare(wanted))
        return Response(news.model_dump_json(), media_type="application/json")

    async def set_of(request: Request) -> Response:
        identity = request.path_params["identity"]
        held = sent.hold(identity) if sent is not None and SET_ID.fullmatch(identity) else None
        if held is None:
            raise Refused(Code.NOT_FOUND, "There is no such set.")
        return SetStream(held, sending, seconds)

    routes = [
        Route("/health", health),
        Route("/metrics", exposition),
        Route("/prepare", prepare, methods=["POST"]),
        *([Route("/sets/{identity}", set_of)] if sent is not None else []),
    ]
    return Correlate(Starlette(routes=routes, exception_handlers=exception_handlers(lambda code: None)))


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LONGEST_BODY:
            raise Refused(Code.BODY_TOO_LONG, f"The body is longer than {_LONGEST_BODY} bytes.")
    return bytes(body)
