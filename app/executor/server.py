"""The executor's HTTP interface, served on a Unix socket to the api alone."""

import logging

from pydantic import TypeAdapter
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket

from app.executor.engine import Visitor
from app.executor.metrics import Metrics
from app.executor.service import Service
from app.executor.stream import stream
from app.process.connection import while_connected
from app.process.correlation import Correlate
from app.process.tracing import Tracing
from app.wire.admission import read_execution
from app.wire.problems import Code, exception_handlers
from app.wire.protocol import EnvironmentInfo, Execution, Message

_log = logging.getLogger(__name__)

_ENVIRONMENTS = TypeAdapter(tuple[EnvironmentInfo, ...])


def build_executor(service: Service, metrics: Metrics, traces: Tracing) -> ASGIApp:
    """The application."""

    async def health(_: Request) -> Response:
        found = await service.health()
        return _json(found, status=200 if found.engine == "reachable" else 503)

    async def environments(_: Request) -> Response:
        return Response(_ENVIRONMENTS.dump_json(service.environments()), media_type="application/json")

    async def stats(_: Request) -> Response:
        return _json(service.stats())

    async def execute(request: Request) -> Response:
        execution = await read_execution(Execution, request, service.profile)
        return _json(await while_connected(request, service.execute(execution, Visitor())))

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=metrics.media_type)

    async def spans(_: Request) -> Response:
        return Response(traces.take(), media_type="application/x-protobuf")

    async def converse(websocket: WebSocket) -> None:
        await stream(websocket, service)

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
    )
    return Correlate(app)


def _json(message: Message, status: int = 200) -> Response:
    return Response(message.model_dump_json(), status_code=status, media_type="application/json")


def _count(code: Code) -> None:
    _log.info("a request was refused: %s", code)
