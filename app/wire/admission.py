"""Which requests are let in. The api asks first, so that bad ones stop there; the executor asks again."""

from typing import TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.profile import SandboxProfile
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution

M = TypeVar("M", bound=BaseModel)

_KB = 1024
_JSON_GROWTH = 6
"""Bytes of JSON that one byte of text may take: a control character is written as \\u0000."""
_PARTS = 3
"""Code or files, stdin and the arguments are each held to the profile's code_kb."""
_NAMES = 256 * _KB
"""What the names of files and results may take, escaped."""


def longest_body(profile: SandboxProfile) -> int:
    """Bytes of JSON that no lawful execution exceeds."""
    return _PARTS * _JSON_GROWTH * profile.code_kb * _KB + _NAMES


async def read_execution(request: Request, profile: SandboxProfile) -> Execution:
    """The execution in the body, within the profile, or `Refused`. Never holds more than the longest lawful body."""
    execution = parse(Execution, await read_body(request, profile))
    admit(execution, profile)
    return execution


async def read_body(request: Request, profile: SandboxProfile) -> bytes:
    """The body of any request that leads to an execution, or `Refused` as soon as it is too long."""
    longest = longest_body(profile)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise Refused(Code.BODY_TOO_LONG, f"The body is longer than {longest} bytes.")
    return bytes(body)


def parse(model: type[M], body: bytes | str) -> M:
    """The message in some JSON, or `Refused` with each of its faults."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise invalid(error) from None


def invalid(error: ValidationError) -> Refused:
    """The faults of a message, in words."""
    first, *more = error.errors(include_url=False, include_context=False, include_input=False)
    if first["type"] == "json_invalid":
        return Refused(Code.INVALID_JSON, f"The body is not JSON: {first['msg'].removeprefix('Invalid JSON: ')}.")
    faults = (
        f"{'.'.join(map(str, fault['loc'])) or 'body'}: {fault['msg'].removeprefix('Value error, ')}"
        for fault in (first, *more)
    )
    return Refused(Code.INVALID_REQUEST, f"{'; '.join(faults)}.")


def admit(execution: Execution, profile: SandboxProfile) -> None:
    """Return when the execution is within the profile, else raise `Refused`."""
    limit = profile.code_kb * _KB
    main, files = execution.sources("code")
    contents = {file.name: file.data() for file in files}
    if not contents[main].strip():
        raise Refused(Code.EMPTY_CODE, "The code is empty.")
    if (size := sum(map(len, contents.values()))) > limit:
        raise Refused(Code.CODE_TOO_LONG, f"The code has {size} bytes; the limit is {limit}.")
    admit_input(len(execution.stdin.encode()), profile)
    if (size := sum(len(argument.encode()) for argument in execution.args)) > limit:
        raise Refused(Code.INPUT_TOO_LONG, f"The arguments have {size} bytes of UTF-8; the limit is {limit}.")
    if execution.timeout is not None and execution.timeout > profile.timeout_seconds:
        raise Refused(
            Code.TIMEOUT_TOO_LONG,
            f"The timeout is {execution.timeout:g} s; the longest allowed is {profile.timeout_seconds:g} s.",
        )


def admit_input(size: int, profile: SandboxProfile) -> None:
    """Return when so many bytes of stdin, all that an execution gets, are within the profile, else raise `Refused`."""
    limit = profile.code_kb * _KB
    if size > limit:
        raise Refused(Code.INPUT_TOO_LONG, f"stdin has {size} bytes of UTF-8; the limit is {limit}.")
