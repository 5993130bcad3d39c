"""The public HTTP interface."""

import contextlib
import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Literal

import httpx
from pydantic import BaseModel, ConfigDict
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from app.admission import read_execution
from app.api.executor_client import ExecutorClient
from app.api.rate import RateLimit
from app.api.settings import ApiSettings
from app.api.stats import Statistics
from app.connection import ClientGone, while_connected
from app.problems import Refused, exception_handlers
from app.profile import SandboxProfile
from app.protocol import EnvironmentInfo, Execution, ExecutionResult

_log = logging.getLogger(__name__)

_CLIENT_CLOSED_REQUEST = 499
_ENGINE_REASONS = {
    "unreachable": "The sandbox engine does not answer.",
    "failing": "The sandbox engine fails to make sandboxes.",
}


class Health(BaseModel):
    """The answer of GET /health: 200 when `status` is ok, else 503 with a reason. What is null is left out."""

    model_config = ConfigDict(frozen=True)

    status: Literal["ok", "unavailable"]
    engine: Literal["reachable", "failing", "unreachable", "unknown"]
    active_sandboxes: int | None = None
    reason: str | None = None


class Environments(BaseModel):
    """The answer of GET /environments."""

    model_config = ConfigDict(frozen=True)

    environments: tuple[EnvironmentInfo, ...]
    limits: SandboxProfile


def build_api(settings: ApiSettings, transport: httpx.AsyncBaseTransport) -> Starlette:
    """The application; `transport` leads to the executor."""
    executor = ExecutorClient(transport, settings.profile)
    rate = RateLimit(settings.requests_per_minute)
    statistics = Statistics()

    async def health(_: Request) -> Response:
        found = await _health(executor)
        return Response(
            found.model_dump_json(exclude_none=True),
            status_code=200 if found.status == "ok" else 503,
            media_type="application/json",
        )

    async def environments(_: Request) -> Response:
        return _json(Environments(environments=await executor.environments(), limits=settings.profile))

    async def stats(_: Request) -> Response:
        try:
            load = await executor.stats()
        except Refused:
            load = None
        return _json(statistics.snapshot(load))

    async def execute(request: Request) -> Response:
        await rate.admit(request.client.host if request.client else "unknown")
        execution = await read_execution(request, settings.profile)
        try:
            result = await while_connected(request, executor.execute(execution))
        except ClientGone:
            return Response(status_code=_CLIENT_CLOSED_REQUEST)
        statistics.count(result)
        _log_execution(execution, result)
        return _json(result)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await executor.close()

    return Starlette(
        routes=[
            Route("/health", health),
            Route("/environments", environments),
            Route("/stats", stats),
            Route("/execute", execute, methods=["POST"]),
        ],
        middleware=[
            Middleware(ProxyHeadersMiddleware, trusted_hosts=list(settings.trusted_proxies)),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.allowed_origins,
                allow_methods=["GET", "POST"],
                allow_headers=["Content-Type"],
                expose_headers=["Retry-After"],
            ),
        ],
        exception_handlers=exception_handlers(statistics.refuse),
        lifespan=lifespan,
    )


async def _health(executor: ExecutorClient) -> Health:
    try:
        found = await executor.health()
    except Refused as refused:
        return Health(status="unavailable", engine="unknown", reason=refused.problem.detail)
    return Health(
        status="ok" if found.engine == "reachable" else "unavailable",
        engine=found.engine,
        active_sandboxes=found.active_sandboxes,
        reason=_ENGINE_REASONS.get(found.engine),
    )


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _log_execution(execution: Execution, result: ExecutionResult) -> None:
    """One line of metadata. The code itself is the visitor's: only its size in bytes and its hash are kept."""
    _, files = execution.sources("code")
    code = b"".join(file.data() for file in files)
    fields = {
        "execution_id": result.execution_id,
        "environment": result.environment,
        "status": result.status,
        "seconds": result.execution_time,
        "code_bytes": len(code),
        "code_sha256": hashlib.sha256(code).hexdigest(),
    }
    _log.info("execution", extra={"fields": fields})
