"""Refusals as problem documents (RFC 9457, application/problem+json), in the api, the executor and the edge.

Each has a stable machine-readable `code`. A failure of a visitor's code is not a refusal but a result.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus
from types import MappingProxyType

from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

_LONGEST_DETAIL = 1000
"""Characters of a refusal's detail. Each takes at most 6 bytes of JSON, so that a refusal has less than 8 KB."""

_WEBSOCKET = {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"}

FAULT_OF_OURS = "This is a fault of the platform, not of your request."


class Code(StrEnum):
    """Why a request was refused. A code keeps its meaning in every later version."""

    INVALID_JSON = "invalid_json"
    INVALID_REQUEST = "invalid_request"
    UNKNOWN_ENVIRONMENT = "unknown_environment"
    EMPTY_CODE = "empty_code"
    CODE_TOO_LONG = "code_too_long"
    INPUT_TOO_LONG = "input_too_long"
    BODY_TOO_LONG = "body_too_long"
    TIMEOUT_TOO_LONG = "timeout_too_long"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    DANGEROUS_PATTERN = "dangerous_pattern"
    ORIGIN_NOT_ALLOWED = "origin_not_allowed"
    START_TOO_LATE = "start_too_late"
    BODY_TOO_LATE = "body_too_late"
    RATE_LIMITED = "rate_limited"
    RATE_STORE_UNAVAILABLE = "rate_store_unavailable"
    BUSY = "busy"
    ENGINE_UNAVAILABLE = "engine_unavailable"
    EXECUTOR_UNAVAILABLE = "executor_unavailable"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    UPGRADE_REQUIRED = "upgrade_required"
    URI_TOO_LONG = "uri_too_long"
    MALFORMED_REQUEST = "malformed_request"
    BAD_GATEWAY = "bad_gateway"
    GATEWAY_TIMEOUT = "gateway_timeout"
    INTERNAL_ERROR = "internal_error"


STATUSES: Mapping[Code, HTTPStatus] = MappingProxyType(
    {
        Code.INVALID_JSON: HTTPStatus.BAD_REQUEST,
        Code.INVALID_REQUEST: HTTPStatus.UNPROCESSABLE_ENTITY,
        Code.UNKNOWN_ENVIRONMENT: HTTPStatus.BAD_REQUEST,
        Code.EMPTY_CODE: HTTPStatus.BAD_REQUEST,
        Code.CODE_TOO_LONG: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        Code.INPUT_TOO_LONG: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        Code.BODY_TOO_LONG: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        Code.TIMEOUT_TOO_LONG: HTTPStatus.BAD_REQUEST,
        Code.UNSUPPORTED_MEDIA_TYPE: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        Code.DANGEROUS_PATTERN: HTTPStatus.BAD_REQUEST,
        Code.ORIGIN_NOT_ALLOWED: HTTPStatus.FORBIDDEN,
        Code.START_TOO_LATE: HTTPStatus.REQUEST_TIMEOUT,
        Code.BODY_TOO_LATE: HTTPStatus.REQUEST_TIMEOUT,
        Code.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
        Code.RATE_STORE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
        Code.BUSY: HTTPStatus.SERVICE_UNAVAILABLE,
        Code.ENGINE_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
        Code.EXECUTOR_UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
        Code.NOT_FOUND: HTTPStatus.NOT_FOUND,
        Code.METHOD_NOT_ALLOWED: HTTPStatus.METHOD_NOT_ALLOWED,
        Code.UPGRADE_REQUIRED: HTTPStatus.UPGRADE_REQUIRED,
        Code.URI_TOO_LONG: HTTPStatus.REQUEST_URI_TOO_LONG,
        Code.MALFORMED_REQUEST: HTTPStatus.BAD_REQUEST,
        Code.BAD_GATEWAY: HTTPStatus.BAD_GATEWAY,
        Code.GATEWAY_TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
        Code.INTERNAL_ERROR: HTTPStatus.INTERNAL_SERVER_ERROR,
    }
)


class Problem(BaseModel):
    """The body of a refusal. `retry_after` is in seconds, and is also sent as the header Retry-After."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    code: Code
    retry_after: int | None = None

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer, beside Content-Type."""
        upgrade = _WEBSOCKET if self.code is Code.UPGRADE_REQUIRED else {}
        return upgrade if self.retry_after is None else {**upgrade, "Retry-After": str(self.retry_after)}


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP answer with this problem, and with `headers` on top of its own."""
    return Response(
        problem.model_dump_json(exclude_none=True),
        status_code=problem.status,
        media_type="application/problem+json",
        headers={**(headers or {}), **problem.headers},
    )


class Refused(Exception):
    """Ends a request with a problem document. `detail` is a sentence for the client; `retry_after` is in seconds."""

    def __init__(self, code: Code, detail: str, retry_after: int | None = None) -> None:
        if len(detail) > _LONGEST_DETAIL:
            detail = f"{detail[:_LONGEST_DETAIL]}…"
        super().__init__(detail)
        self.problem = Problem(
            title=STATUSES[code].phrase, status=STATUSES[code], detail=detail, code=code, retry_after=retry_after
        )


ExceptionHandler = Callable[[Request, Exception], Awaitable[Response]]


def exception_handlers(count: Callable[[Code], None]) -> dict[int | type[Exception], ExceptionHandler]:
    """Starlette's `exception_handlers`: each exception is answered with a problem, and `count` called with its code."""

    def answer(refused: Refused, headers: Mapping[str, str] | None = None) -> Response:
        count(refused.problem.code)
        return problem_response(refused.problem, headers)

    async def on_refused(_: Request, error: Exception) -> Response:
        assert isinstance(error, Refused)  # noqa: S101 - Starlette looks handlers up by type
        return answer(error)

    async def on_not_found(request: Request, _: Exception) -> Response:
        return answer(Refused(Code.NOT_FOUND, f"There is nothing at {request.url.path}."))

    async def on_method_not_allowed(request: Request, error: Exception) -> Response:
        headers = error.headers if isinstance(error, HTTPException) else None
        return answer(
            Refused(Code.METHOD_NOT_ALLOWED, f"{request.url.path} doesn't answer to {request.method}."), headers
        )

    async def on_disconnect(_: Request, __: Exception) -> Response:
        refused = Refused(Code.BODY_TOO_LATE, "The body has not arrived in time.")
        return problem_response(refused.problem, {"Connection": "close"})

    async def on_error(_: Request, __: Exception) -> Response:
        return answer(Refused(Code.INTERNAL_ERROR, FAULT_OF_OURS))

    return {
        Refused: on_refused,
        ClientDisconnect: on_disconnect,
        404: on_not_found,
        405: on_method_not_allowed,
        Exception: on_error,
    }
