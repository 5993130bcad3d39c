"""Which requests are let in. The api asks first, so that bad ones stop there; the executor asks again."""

from pydantic import ValidationError
from starlette.requests import Request

from app.problems import Code, Refused
from app.profile import SandboxProfile
from app.protocol import Execution

_KB = 1024
_JSON_GROWTH = 6
"""Bytes of JSON that one byte of text may take: a control character is written as \\u0000."""
_PARTS = 3
"""Code, stdin and the arguments are each held to the profile's code_kb."""


async def read_execution(request: Request, profile: SandboxProfile) -> Execution:
    """The execution in the body, within the profile, or `Refused`. Never holds more than the longest lawful body."""
    longest = _PARTS * _JSON_GROWTH * profile.code_kb * _KB + _KB
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise Refused(Code.BODY_TOO_LONG, f"The body is longer than {longest} bytes.")
    execution = _parse(bytes(body))
    _check(execution, profile)
    return execution


def _parse(body: bytes) -> Execution:
    try:
        return Execution.model_validate_json(body)
    except ValidationError as error:
        first, *more = error.errors(include_url=False, include_context=False, include_input=False)
        if first["type"] == "json_invalid":
            raise Refused(
                Code.INVALID_JSON, f"The body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}."
            ) from None
        faults = (f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg']}" for fault in (first, *more))
        raise Refused(Code.INVALID_REQUEST, f"{'; '.join(faults)}.") from None


def _check(execution: Execution, profile: SandboxProfile) -> None:
    limit = profile.code_kb * _KB
    if not execution.code.strip():
        raise Refused(Code.EMPTY_CODE, "The code is empty.")
    if (size := _size(execution.code)) > limit:
        raise Refused(Code.CODE_TOO_LONG, f"The code has {size} bytes of UTF-8; the limit is {limit}.")
    if (size := _size(execution.stdin)) > limit:
        raise Refused(Code.INPUT_TOO_LONG, f"stdin has {size} bytes of UTF-8; the limit is {limit}.")
    if (size := sum(map(_size, execution.args))) > limit:
        raise Refused(Code.INPUT_TOO_LONG, f"The arguments have {size} bytes of UTF-8; the limit is {limit}.")
    if execution.timeout is not None and execution.timeout > profile.timeout_seconds:
        raise Refused(
            Code.TIMEOUT_TOO_LONG,
            f"The timeout is {execution.timeout:g} s; the longest allowed is {profile.timeout_seconds:g} s.",
        )


def _size(text: str) -> int:
    return len(text.encode())
