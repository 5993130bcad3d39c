"""The public HTTP interface, and a separate one for Prometheus."""

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import TYPE_CHECKING

from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.api.answering import Answering, note_gone
from app.api.batch import Batches
from app.api.codapi import Codapi
from app.api.dialect import OwnDialect
from app.api.executions import Executions
from app.api.executor_client import ExecutorClient
from app.api.keys import Cors, KeyRing
from app.api.leases import Budgets, lease_store
from app.api.metrics import Metrics
from app.api.operation import Endpoint, HttpEndpoint
from app.api.operations import OPERATIONS
from app.api.overview import Overview
from app.api.packages import Packages
from app.api.page_files import PAGE, page_files
from app.api.piston import Piston
from app.api.piston_connect import PistonDialect
from app.api.rate import RateLimit, rate_limit_store
from app.api.repeats import IDEMPOTENCY_KEY, Repeats, answer_store, without_key
from app.api.settings import ApiSettings
from app.api.streaming import EVENT_STREAM, EventStream, WebSocketStream
from app.process.connection import while_connected
from app.process.correlation import REQUEST_ID, TRACEPARENT, Correlate
from app.process.start_tracing import start_tracing
from app.process.tracing import Tracing
from app.wire.admission import read_execution
from app.wire.media import JSON, accepted
from app.wire.problems import Code, ExceptionHandler, Refused, exception_handlers, problem_response
from app.wire.protocol import Execution
from app.wire.unix_http import UnixHttp

if TYPE_CHECKING:
    from app.api.agents import Agents
    from app.api.rooms.rooms import Rooms

_ROOMS_ELSEWHERE = "This unit has no rooms. The edge has to send /rooms, and all below it, to the one that has them."
_READABLE_BY_PAGES = ["Retry-After", "WWW-Authenticate", "RateLimit", "RateLimit-Policy", REQUEST_ID]


@dataclass(frozen=True)
class Api:
    """Two applications in one process: `public` for visitors, `metrics` for a port that only Prometheus reaches."""

    public: ASGIApp
    metrics: ASGIApp


def build_api(settings: ApiSettings) -> Api:
    """The applications of these settings. Nothing is connected or started yet."""
    executor = ExecutorClient(settings.executor_socket, settings.profile)
    metrics = Metrics(settings.profile)
    traces = start_tracing("api", settings.otlp_endpoint is not None, lambda: metrics.spans_dropped("api", 1))
    keys = KeyRing(settings.keys_file)
    packages = Packages(settings.packages, settings.packages_socket, executor)
    executions = Executions(
        executor,
        packages,
        settings.profile,
        keys,
        RateLimit(settings.requests_per_minute, rate_limit_store(settings.rate_store)),
        Budgets(lease_store(settings.rate_store), metrics, settings.profile.timeout_seconds),
        metrics,
        traces,
        refuse_patterns=settings.refuse_patterns,
        log_code=settings.log_code,
    )

    def allowed(origin: str) -> bool:
        return origin in settings.allowed_origins or keys.allows(origin)

    stream = partial(WebSocketStream, executions, allowed=allowed)
    overview = Overview(executor, metrics.statistics, settings.profile, packages, settings.rooms is not None)
    agents = _agents(settings, executions, overview, allowed)
    rooms = _rooms(settings, executions, allowed)
    no_rooms = _ROOMS_ELSEWHERE if settings.rooms else "The operator has not switched rooms on."
    piston = Piston(executions)
    files = page_files(PAGE)
    endpoints: dict[str, Endpoint] = {
        **files,
        "/execute": _execute(executions, Repeats(executions, answer_store(settings.rate_store, settings.repeats_mb))),
        "/execute/batch": Batches(executions, settings.batch_at_once).execute,
        "/execute/stream": stream(lambda: OwnDialect(settings.profile)).serve,
        "/packages": _packages(executions),
        "/environments": overview.environments,
        "/health": overview.health,
        "/stats": overview.stats,
        "/api/v2/execute": piston.execute,
        "/api/v2/runtimes": piston.runtimes,
        "/api/v2/piston/execute": piston.execute,
        "/api/v2/piston/runtimes": piston.runtimes,
        "/api/v2/packages": piston.packages,
        "/api/v2/connect": stream(lambda: PistonDialect(executions)).serve,
        "/v1/exec": Codapi(executions).execute,
        "/v1/health": overview.health,
        "/mcp": agents.answer if agents else _absent("The operator has not switched /mcp on."),
        "/rooms": rooms.make if rooms else _absent(no_rooms),
        "/rooms/{id}/sync": rooms.sync if rooms else partial(_deny, detail=no_rooms),
        "/rooms/{id}/runs": rooms.runs if rooms else partial(_deny, detail=no_rooms),
    }
    described = {operation.path for operation in OPERATIONS}
    routes = [
        *(route for operation in OPERATIONS for route in operation.routes(endpoints[operation.path])),
        *(Route(path, serve) for path, serve in files.items() if path not in described),
    ]

    handlers = exception_handlers(metrics.refused)
    public = Starlette(
        routes=routes,
        middleware=[
            Middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies)),
            Middleware(
                Cors,
                allowed=allowed,
                methods=["GET", "POST"],
                headers=["Authorization", "Content-Type", IDEMPOTENCY_KEY, REQUEST_ID, TRACEPARENT],
                readable=_READABLE_BY_PAGES,
            ),
        ],
        exception_handlers={**handlers, ClientDisconnect: _gone(handlers[ClientDisconnect])},
        lifespan=lambda _: _all(
            (_relay(settings, traces, metrics), *(part.running() for part in (agents, rooms) if part is not None))
        ),
    )
    public.router.default = _nothing_here
    paths = frozenset(route.path for route in routes)
    return Api(Correlate(Answering(public, metrics, paths)), _metrics_app(metrics, executor, packages))


def _agents(
    settings: ApiSettings, executions: Executions, overview: Overview, allowed: Callable[[str], bool]
) -> "Agents | None":
    if not settings.mcp:
        return None
    from app.api.agents import Agents  # noqa: PLC0415 - only where agents are served: its SDK takes 24 MB

    return Agents(executions, overview, allowed)


def _rooms(settings: ApiSettings, executions: Executions, allowed: Callable[[str], bool]) -> "Rooms | None":
    if settings.rooms is None or settings.rooms_folder is None:
        return None
    from app.api.rooms.rooms import Rooms  # noqa: PLC0415 - only where there are rooms: pycrdt takes 7 MB

    return Rooms(executions, settings.rooms, settings.rooms_folder, allowed)


def _absent(detail: str) -> HttpEndpoint:
    async def absent(_: Request) -> Response:
        raise Refused(Code.NOT_FOUND, detail)

    return absent


@asynccontextmanager
async def _all(contexts: Iterable[AbstractAsyncContextManager[None]]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        for context in contexts:
            await stack.enter_async_context(context)
        yield


def _relay(settings: ApiSettings, traces: Tracing, metrics: Metrics) -> AbstractAsyncContextManager[None]:
    """Sends spans to the collector while the public interface is served, if traces are on."""
    if settings.otlp_endpoint is None:
        return nullcontext()
    from app.api.span_relay import SpanRelay  # noqa: PLC0415 - only where traces are on

    return SpanRelay(
        settings.otlp_endpoint, UnixHttp(settings.executor_socket), traces, metrics.spans_dropped
    ).running()


def _execute(executions: Executions, repeats: Repeats) -> HttpEndpoint:
    async def execute(request: Request) -> Response:
        await executions.admit(request)
        execution = await read_execution(Execution, request, executions.profile)
        if accepted(request.headers, (JSON, EVENT_STREAM)) == EVENT_STREAM:
            without_key(request)
            return EventStream(executions, execution)
        return Response(await while_connected(request, answer(request, execution)), media_type=JSON)

    async def answer(request: Request, execution: Execution) -> bytes:
        await executions.packages.ready(execution)
        return await repeats.answer(request, execution)

    return execute


def _packages(executions: Executions) -> Endpoint:
    async def packages(request: Request) -> Response:
        return await executions.packages.locked(request, await executions.body(request))

    return packages


async def _nothing_here(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a path without a route. Starlette would close a WebSocket there without a problem document."""
    if scope["type"] == "websocket":
        await _deny(WebSocket(scope, receive, send), f"There is nothing at {scope['path']}.")
        return
    raise HTTPException(HTTPStatus.NOT_FOUND)


async def _deny(websocket: WebSocket, detail: str) -> None:
    await websocket.send_denial_response(problem_response(Refused(Code.NOT_FOUND, detail).problem))


def _gone(handler: ExceptionHandler) -> ExceptionHandler:
    async def on_disconnect(request: Request, error: Exception) -> Response:
        note_gone(request)
        return await handler(request, error)

    return on_disconnect


def _metrics_app(metrics: Metrics, executor: ExecutorClient, packages: Packages) -> ASGIApp:
    async def own(_: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def executors(_: Request) -> Response:
        return Response(await executor.metrics(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    async def of_packages(_: Request) -> Response:
        return Response(await packages.metrics(), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    return Starlette(
        routes=[
            Route("/metrics", own),
            Route("/metrics/executor", executors),
            *([Route("/metrics/packages", of_packages)] if packages.rules else []),
        ],
        exception_handlers=exception_handlers(lambda _: None),
    )
