"""Refusals as problem documents (RFC 9457, application/problem+json), in the api, the executor and the edge.

Each has a stable machine-readable `code`. A failure of a visitor's code is not a refusal but a result.
"""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

_LONGEST_DETAIL = 1000
"""Characters of a refusal's detail. Each takes at most 6 bytes of JSON, so that a refusal has less than 8 KB."""

FAULT_OF_OURS = "This is a fault of the platform, not of your request."


class Code(StrEnum):
    """Why a request was refused. A code keeps its meaning in every later version."""

    status: HTTPStatus

    def __new__(cls, value: str, status: HTTPStatus) -> "Code":
        """The code with this text, and the HTTP status with which it is answered."""
        code = str.__new__(cls, value)
        code._value_ = value
        code.status = status
        return code

    INVALID_JSON = "invalid_json", HTTPStatus.BAD_REQUEST
    INVALID_REQUEST = "invalid_request", HTTPStatus.UNPROCESSABLE_ENTITY
    UNKNOWN_ENVIRONMENT = "unknown_environment", HTTPStatus.BAD_REQUEST
    EMPTY_CODE = "empty_code", HTTPStatus.BAD_REQUEST
    CODE_TOO_LONG = "code_too_long", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    INPUT_TOO_LONG = "input_too_long", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    BODY_TOO_LONG = "body_too_long", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    BATCH_TOO_LONG = "batch_too_long", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    TIMEOUT_TOO_LONG = "timeout_too_long", HTTPStatus.BAD_REQUEST
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type", HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    PACKAGE_NOT_FOUND = "package_not_found", HTTPStatus.BAD_REQUEST
    PACKAGE_NOT_ALLOWED = "package_not_allowed", HTTPStatus.BAD_REQUEST
    PACKAGE_NEEDS_BUILD = "package_needs_build", HTTPStatus.BAD_REQUEST
    PACKAGES_CONFLICT = "packages_conflict", HTTPStatus.BAD_REQUEST
    PACKAGES_TOO_LARGE = "packages_too_large", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    PACKAGES_UNAVAILABLE = "packages_unavailable", HTTPStatus.SERVICE_UNAVAILABLE
    DANGEROUS_PATTERN = "dangerous_pattern", HTTPStatus.BAD_REQUEST
    ORIGIN_NOT_ALLOWED = "origin_not_allowed", HTTPStatus.FORBIDDEN
    START_TOO_LATE = "start_too_late", HTTPStatus.REQUEST_TIMEOUT
    BODY_TOO_LATE = "body_too_late", HTTPStatus.REQUEST_TIMEOUT
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused", HTTPStatus.UNPROCESSABLE_ENTITY
    IDEMPOTENCY_KEY_IN_USE = "idempotency_key_in_use", HTTPStatus.CONFLICT
    UNKNOWN_KEY = "unknown_key", HTTPStatus.UNAUTHORIZED
    ENVIRONMENT_NOT_ALLOWED = "environment_not_allowed", HTTPStatus.FORBIDDEN
    RATE_LIMITED = "rate_limited", HTTPStatus.TOO_MANY_REQUESTS
    KEY_RATE_LIMITED = "key_rate_limited", HTTPStatus.TOO_MANY_REQUESTS
    KEY_RUNS_LIMITED = "key_runs_limited", HTTPStatus.TOO_MANY_REQUESTS
    KEY_SECONDS_SPENT = "key_seconds_spent", HTTPStatus.TOO_MANY_REQUESTS
    ROOM_NOT_FOUND = "room_not_found", HTTPStatus.NOT_FOUND
    ROOM_READ_ONLY = "room_read_only", HTTPStatus.FORBIDDEN
    ROOM_FULL = "room_full", HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    ROOM_MEMBERS = "room_members", HTTPStatus.TOO_MANY_REQUESTS
    ROOM_LIMIT = "room_limit", HTTPStatus.TOO_MANY_REQUESTS
    ROOM_BUSY = "room_busy", HTTPStatus.CONFLICT
    ROOMS_UNAVAILABLE = "rooms_unavailable", HTTPStatus.SERVICE_UNAVAILABLE
    RATE_STORE_UNAVAILABLE = "rate_store_unavailable", HTTPStatus.SERVICE_UNAVAILABLE
    BUSY = "busy", HTTPStatus.SERVICE_UNAVAILABLE
    ENGINE_UNAVAILABLE = "engine_unavailable", HTTPStatus.SERVICE_UNAVAILABLE
    EXECUTOR_UNAVAILABLE = "executor_unavailable", HTTPStatus.SERVICE_UNAVAILABLE
    NOT_FOUND = "not_found", HTTPStatus.NOT_FOUND
    METHOD_NOT_ALLOWED = "method_not_allowed", HTTPStatus.METHOD_NOT_ALLOWED
    UPGRADE_REQUIRED = "upgrade_required", HTTPStatus.UPGRADE_REQUIRED
    URI_TOO_LONG = "uri_too_long", HTTPStatus.REQUEST_URI_TOO_LONG
    MALFORMED_REQUEST = "malformed_request", HTTPStatus.BAD_REQUEST
    BAD_GATEWAY = "bad_gateway", HTTPStatus.BAD_GATEWAY
    GATEWAY_TIMEOUT = "gateway_timeout", HTTPStatus.GATEWAY_TIMEOUT
    INTERNAL_ERROR = "internal_error", HTTPStatus.INTERNAL_SERVER_ERROR


_OF_CODES: Mapping[Code, dict[str, str]] = {
    Code.UNKNOWN_KEY: {"WWW-Authenticate": 'Bearer error="invalid_token"'},
    Code.UPGRADE_REQUIRED: {"Upgrade": "websocket", "Sec-WebSocket-Version": "13"},
}
"""Headers that belong to a code."""


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
        own = _OF_CODES.get(self.code, {})
        return own if self.retry_after is None else {**own, "Retry-After": str(self.retry_after)}


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
            title=code.status.phrase, status=code.status, detail=detail, code=code, retry_after=retry_after
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
