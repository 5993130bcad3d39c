"""The executor's HTTP interface, served on a Unix socket to the api alone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from app.admission import read_execution
from app.connection import ClientGone, while_connected
from app.executor.metrics import Metrics
from app.executor.service import Service, Silent
from app.executor.stream import stream
from app.problems import Code, exception_handlers
from app.protocol import EnvironmentInfo, Message

_log = logging.getLogger(__name__)

_ENVIRONMENTS = TypeAdapter(tuple[EnvironmentInfo, ...])
_CLIENT_CLOSED_REQUEST = 499


def build_executor(service: Service, metrics: Metrics) -> Starlette:
    """The application. While it runs, orphaned sandboxes are swept."""

    async def health(_: Request) -> Response:
        found = await service.health()
        return _json(found, status=200 if found.engine == "reachable" else 503)

    async def environments(_: Request) -> Response:
        return Response(_ENVIRONMENTS.dump_json(service.environments()), media_type="application/json")

    async def stats(_: Request) -> Response:
        return _json(service.stats())

    async def execute(request: Request) -> Response:
        execution = await read_execution(request, service.profile)
        try:
            return _json(await while_connected(request, service.execute(execution, Silent())))
        except ClientGone:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=metrics.media_type)

    async def converse(websocket: WebSocket) -> None:
        await stream(websocket, service)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        sweeper = asyncio.create_task(service.sweep_forever())
        yield
        sweeper.cancel()

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/environments", environments),
            Route("/stats", stats),
            Route("/metrics", exposition),
            Route("/execute", execute, methods=["POST"]),
            WebSocketRoute("/stream", converse),
        ],
        exception_handlers=exception_handlers(_count),
        lifespan=lifespan,
    )


def _json(message: Message, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status_code=status, media_type="application/json")


def _count(code: Code) -> None:
    _log.info("a request was refused: %s", code)
