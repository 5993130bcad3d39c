"""The table of the public interface: each route with its documentation."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from pydantic import BaseModel

from app.api.batch import JSON_LINES, Batch, BatchAnswer, Batches
from app.api.codapi import Codapi, CodapiAnswer, CodapiRequest
from app.api.dialect import OwnDialect
from app.api.operation import Body, Frames, Operation, documentation
from app.api.overview import Environments, Health, Overview
from app.api.page_files import Endpoint
from app.api.piston import Piston, PistonAnswer, PistonMessage, PistonPackages, PistonRequest, PistonRuntimes
from app.api.piston_connect import PISTON_FRAMES, PistonDialect
from app.api.repeats import Repeats
from app.api.stats import Stats
from app.api.streaming import EVENT_STREAM, EventStream, WebSocketStream
from app.wire import protocol
from app.wire.problems import Code

_EXECUTOR = (Code.EXECUTOR_UNAVAILABLE, Code.INTERNAL_ERROR)
_RUN = (
    Code.INVALID_JSON,
    Code.EMPTY_CODE,
    Code.UNKNOWN_ENVIRONMENT,
    Code.TIMEOUT_TOO_LONG,
    Code.DANGEROUS_PATTERN,
    Code.CODE_TOO_LONG,
    Code.INPUT_TOO_LONG,
    Code.BODY_TOO_LATE,
    Code.BODY_TOO_LONG,
    Code.UNSUPPORTED_MEDIA_TYPE,
    Code.INVALID_REQUEST,
    Code.RATE_LIMITED,
    Code.BUSY,
    Code.ENGINE_UNAVAILABLE,
    Code.RATE_STORE_UNAVAILABLE,
    *_EXECUTOR,
)

_FRAMES = Frames(
    client=(protocol.Start, protocol.Input, protocol.EndOfInput, protocol.Resize, protocol.Interrupt, protocol.Cancel),
    server=(protocol.Started, protocol.Output, protocol.Result, protocol.Fault),
)
_PISTON_PREFIXES = ("/api/v2", "/api/v2/piston")
"""The prefix of any Piston, and that of its public service."""
_HEALTH = {200: (Body("Code can run.", Health),), 503: (Body("Code can't run.", Health),)}
_REFUSALS = {
    400: "The request is invalid.",
    413: "The request is too long.",
    415: "The Content-Type is not JSON, or the body is compressed.",
    429: "The client reached its rate limit.",
    503: "The platform is busy, or has failed.",
}


@dataclass(frozen=True)
class Endpoints:
    """What answers the operations. `files` are by path."""

    execute: Endpoint
    batch: Endpoint
    stream: WebSocketStream
    overview: Overview
    piston: Piston
    piston_connect: WebSocketStream
    codapi: Codapi
    files: Mapping[str, Endpoint]


def operations(endpoints: Endpoints) -> tuple[Operation, ...]:
    """Every operation of the public interface."""
    return (
        Operation(
            path="/execute",
            endpoint=endpoints.execute,
            tag="executions",
            summary="Run code and wait for the result",
            description=f"{documentation(EventStream)}\n\n{documentation(Repeats)}",
            request=protocol.Execution,
            answers={
                200: (
                    Body("How the execution ended, well or not.", protocol.ExecutionResult),
                    Body("The execution as it happens.", media_type=EVENT_STREAM),
                )
            },
            refusals=(*_RUN, Code.IDEMPOTENCY_KEY_REUSED, Code.IDEMPOTENCY_KEY_IN_USE),
            rated=True,
            repeatable=True,
        ),
        Operation(
            path="/execute/batch",
            endpoint=endpoints.batch,
            tag="executions",
            summary="Run one program with many inputs",
            description=documentation(Batches),
            request=Batch,
            answers={
                200: (
                    Body("A line for each input, in their order, as soon as it can be told.", BatchAnswer, JSON_LINES),
                    Body("The same as events.", media_type=EVENT_STREAM),
                )
            },
            refusals=(*_RUN, Code.BATCH_TOO_LONG),
            rated=True,
        ),
        Operation(
            path="/execute/stream",
            endpoint=endpoints.stream.serve,
            tag="executions",
            summary="Run code interactively (WebSocket)",
            description=documentation(OwnDialect),
            answers={101: (Body("The WebSocket is open.", media_type=""),)},
            refusals=(Code.ORIGIN_NOT_ALLOWED, Code.UPGRADE_REQUIRED),
            rated=True,
            frames=_FRAMES,
        ),
        Operation(
            path="/environments",
            endpoint=endpoints.overview.environments,
            tag="platform",
            summary="List the environments and the limits",
            answers={200: (Body("Environments and limits.", Environments),)},
            refusals=_EXECUTOR,
        ),
        Operation(
            path="/health",
            endpoint=endpoints.overview.health,
            tag="platform",
            summary="Whether code can run now",
            answers=_HEALTH,
        ),
        Operation(
            path="/stats",
            endpoint=endpoints.overview.stats,
            tag="platform",
            summary="Counts and durations since this process started",
            answers={200: (Body("Counts and durations.", Stats),)},
        ),
        *_piston(endpoints.piston, endpoints.piston_connect),
        Operation(
            path="/v1/exec",
            endpoint=endpoints.codapi.execute,
            tag="codapi",
            summary="Run code, as codapi does",
            description=documentation(Codapi),
            request=CodapiRequest,
            answers={200: (Body("How the program ended.", CodapiAnswer),), **_refusals(CodapiAnswer, *_REFUSALS)},
            rated=True,
        ),
        Operation(
            path="/v1/health",
            endpoint=endpoints.overview.health,
            tag="codapi",
            summary="Whether code can run now (codapi-js asks before it runs code)",
            answers=_HEALTH,
        ),
        Operation(
            path="/openapi.json",
            endpoint=endpoints.files["/openapi.json"],
            tag="documentation",
            summary="This document, for programs",
            answers={200: (Body("An OpenAPI 3.1 document."),)},
        ),
        Operation(
            path="/docs",
            endpoint=endpoints.files["/docs"],
            tag="documentation",
            summary="This document, for people",
            answers={200: (Body("A page.", media_type="text/html"),)},
        ),
    )


def _refusals(model: type[BaseModel], *statuses: int) -> dict[int, tuple[Body, ...]]:
    """Refusals in the form of another service."""
    return {status: (Body(_REFUSALS[status], model),) for status in statuses}


def _piston(piston: Piston, connect: WebSocketStream) -> Iterator[Operation]:
    refusals = partial(_refusals, PistonMessage)
    for prefix in _PISTON_PREFIXES:
        yield Operation(
            path=f"{prefix}/execute",
            endpoint=piston.execute,
            tag="Piston",
            summary="Run code, as Piston does",
            description=documentation(Piston),
            request=PistonRequest,
            answers={200: (Body("How the program ended.", PistonAnswer),), **refusals(400, 415, 429, 503)},
            rated=True,
        )
        yield Operation(
            path=f"{prefix}/runtimes",
            endpoint=piston.runtimes,
            tag="Piston",
            summary="What can be run, as Piston lists it",
            answers={200: (Body("The runtimes.", PistonRuntimes),), **refusals(503)},
        )
    yield Operation(
        path="/api/v2/packages",
        endpoint=piston.packages,
        tag="Piston",
        summary="What is installed, as Piston lists it",
        answers={200: (Body("The packages.", PistonPackages),), **refusals(503)},
    )
    yield Operation(
        path="/api/v2/connect",
        endpoint=connect.serve,
        tag="Piston",
        summary="Run code and talk to it, as Piston does (WebSocket)",
        description=documentation(PistonDialect),
        answers={101: (Body("The WebSocket is open.", media_type=""),)},
        refusals=(Code.ORIGIN_NOT_ALLOWED, Code.UPGRADE_REQUIRED),
        rated=True,
        frames=PISTON_FRAMES,
    )
