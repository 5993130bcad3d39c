"""The executor's HTTP interface, served on a Unix socket to the api alone."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from app.executor.metrics import Metrics
from app.executor.service import Service, Silent
from app.executor.stream import stream
from app.process.connection import while_connected
from app.process.correlation import Correlate
from app.process.tracing import Tracing
from app.wire.admission import read_execution
from app.wire.problems import Code, exception_handlers
from app.wire.protocol import EnvironmentInfo, Message

Chore = Callable[[], Coroutine[Any, Any, None]]
"""Goes on until it is cancelled."""

_log = logging.getLogger(__name__)

_ENVIRONMENTS = TypeAdapter(tuple[EnvironmentInfo, ...])


def build_executor(service: Service, metrics: Metrics, traces: Tracing, chores: Sequence[Chore]) -> ASGIApp:
    """The application. The chores are done beside it while it serves."""

    async def health(_: Request) -> Response:
        found = await service.health()
        return _json(found, status=200 if found.engine == "reachable" else 503)

    async def environments(_: Request) -> Response:
        return Response(_ENVIRONMENTS.dump_json(service.environments()), media_type="application/json")

    async def stats(_: Request) -> Response:
        return _json(service.stats())

    async def execute(request: Request) -> Response:
        execution = await read_execution(request, service.profile)
        return _json(await while_connected(request, service.execute(execution, Silent())))

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=metrics.media_type)

    async def spans(_: Request) -> Response:
        return Response(traces.take(), media_type="application/x-protobuf")

    async def converse(websocket: WebSocket) -> None:
        await stream(websocket, service)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        under_way = [asyncio.create_task(chore()) for chore in chores]
        yield
        for task in under_way:
            task.cancel()

    app = Starlette(
        routes=[
            Route("/health", health),
            Route("/environments", environments),
            Route("/stats", stats),
            Route("/metrics", exposition),
            Route("/spans", spans),
            Route("/execute", execute, methods=["POST"]),
            WebSocketRoute("/stream", converse),
        ],
        exception_handlers=exception_handlers(_count),
        lifespan=lifespan,
    )
    return Correlate(app)


def _json(message: Message, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status_code=status, media_type="application/json")


def _count(code: Code) -> None:
    _log.info("a request was refused: %s", code)
