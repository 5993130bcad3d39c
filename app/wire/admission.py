"""Which requests are let in. The api asks first, so that bad ones stop there; the executor asks again."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request

from app.profile import SandboxProfile
from app.wire.media import require_json
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

_KB = 1024
_JSON_GROWTH = 6
"""Bytes of JSON that one byte of text may take: a control character is written as \\u0000."""
_PARTS = 3
"""Code or files, stdin and the arguments are each held to the profile's code_kb."""
_NAMES = 256 * _KB
"""What the names of files and results may take, escaped."""
_MOST_VALUES = 500
"""Values in a request's JSON. The largest lawful execution has 232; each wrong one costs about 1.5 KB and 20 µs."""
_UP_TO_A_VALUE = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[^"\[{,]++)*+(?:[\[{,]|\Z)', re.DOTALL)
"""Strings and whatever else stands before the next bracket, brace or comma. It matches everywhere: no text is slow."""
_MOST_FAULTS = 8
"""Faults that are told of one request."""
_LONGEST_KEY = 40
"""Characters of a key that are repeated where it is at fault."""


def longest_body(profile: SandboxProfile) -> int:
    """Bytes of JSON that no lawful execution exceeds."""
    return _PARTS * _JSON_GROWTH * profile.code_kb * _KB + _NAMES


async def read_execution(request: Request, profile: SandboxProfile) -> Execution:
    """The execution in the body, within the profile, or `Refused`. Never holds more than the longest lawful body."""
    execution = parse(Execution, await read_body(request, profile))
    admit(execution, profile)
    return execution


async def read_body(request: Request, profile: SandboxProfile) -> bytes:
    """The body of any request that leads to an execution, or `Refused`: as soon as it is too long, or is not JSON."""
    require_json(request.headers)
    longest = longest_body(profile)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > longest:
            raise Refused(Code.BODY_TOO_LONG, f"The body is longer than {longest} bytes.")
    return bytes(body)


def parse(model: type[M], body: bytes | str) -> M:
    """The message in some JSON, or `Refused` with its first faults."""
    return read_json(model.model_validate_json, body)


def read_json(validate: Callable[[bytes], T], body: bytes | str) -> T:
    """What `validate` makes of some JSON, or `Refused` with its first faults.

    JSON of too many values is not validated, since each wrong one would become an error a thousand times its size.
    """
    data = body.encode() if isinstance(body, str) else body
    # The text after the last value is one match, and the end of the text another.
    if next(islice(_UP_TO_A_VALUE.finditer(data), _MOST_VALUES + 2, None), None):
        raise Refused(Code.INVALID_REQUEST, f"The JSON has more than {_MOST_VALUES} values.")
    with _refusing():
        return validate(data)


def build(model: type[M], fields: Mapping[str, object]) -> M:
    """The message with these fields, which come from JSON that was read; or `Refused` with its first faults."""
    with _refusing():
        return model.model_validate(fields)


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except ValidationError as error:
        raise _invalid(error.errors(include_url=False, include_context=False, include_input=False)) from None


def _invalid(faults: list[ErrorDetails]) -> Refused:
    if faults[0]["type"] == "json_invalid":
        reason = faults[0]["msg"].removeprefix("Invalid JSON: ")
        return Refused(Code.INVALID_JSON, f"The body is not JSON: {reason}.")
    # A list counts as too short when its items are wrong: then they are the cause.
    causes = [fault for fault in faults if fault["type"] != "too_short" or not _has_wrong_items(fault, faults)]
    sentences = [
        f"{'.'.join(str(key)[:_LONGEST_KEY] for key in fault['loc']) or 'body'}: "
        f"{fault['msg'].removeprefix('Value error, ')}"
        for fault in causes[:_MOST_FAULTS]
    ]
    if more := len(causes) - len(sentences):
        sentences.append(f"and {more} more")
    return Refused(Code.INVALID_REQUEST, f"{'; '.join(sentences)}.")


def _has_wrong_items(fault: ErrorDetails, faults: Iterable[ErrorDetails]) -> bool:
    depth = len(fault["loc"])
    return any(len(other["loc"]) > depth and other["loc"][:depth] == fault["loc"] for other in faults)


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
