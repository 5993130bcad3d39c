"""The HTTP interface of the packages service, served on a Unix socket to the api alone."""

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from app.packages.metrics import Metrics
from app.packages.service import Preparations
from app.process.connection import while_connected
from app.process.correlation import Correlate
from app.wire.admission import parse
from app.wire.packages import Wanted
from app.wire.problems import exception_handlers


def build_packages(preparations: Preparations, metrics: Metrics) -> ASGIApp:
    """The application."""

    async def health(_: Request) -> Response:
        return Response("{}", media_type="application/json")

    async def exposition(_: Request) -> Response:
        return Response(metrics.exposition(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def prepare(request: Request) -> Response:
        wanted = parse(Wanted, await request.body())
        news = await while_connected(request, preparations.prepare(wanted))
        return Response(news.model_dump_json(), media_type="application/json")

    routes = [Route("/health", health), Route("/metrics", exposition), Route("/prepare", prepare, methods=["POST"])]
    return Correlate(Starlette(routes=routes, exception_handlers=exception_handlers(lambda code: None)))
