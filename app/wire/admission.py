"""Reads requests and holds them to the profile. The api does so first; the executor, which trusts nobody, again."""

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

import anyio
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import ClientDisconnect, Request

from app.profile import SandboxProfile
from app.wire.media import require_json
from app.wire.problems import Code, Refused
from app.wire.protocol import Execution

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)
E = TypeVar("E", bound=Execution)

_KB = 1024
_JSON_GROWTH = 6
"""Most bytes of JSON for one byte of text: a control character is written as \\u0000."""
_PARTS = 3
"""Parts of a request that may each have the profile's code_kb: the code or files, stdin, and the arguments."""
_NAMES = 256 * _KB
"""Bytes of JSON for the names of files and results, and for the keys."""
_BODY_SECONDS = 30
"""Seconds for a whole body to arrive. The edge answers 504 after 60 s."""
_MOST_VALUES = 500
"""Most values in a request's JSON. The largest valid execution has 232. Each wrong one was measured to cost 1.5 KB of
memory and 20 µs."""
_UP_TO_A_VALUE = re.compile(rb'(?:"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[^"\[{,]++)*+(?:[\[{,]|\Z)', re.DOTALL)
"""Text up to and including the next bracket, brace or comma outside of a string, or up to the end. It matches at every
position and never backtracks, so its time is proportional to the text."""
_MOST_FAULTS = 8
"""Most faults that a refusal names."""
_LONGEST_KEY = 40
"""Characters of a key that a refusal repeats."""


def longest_body(profile: SandboxProfile) -> int:
    """Most bytes of JSON that a valid execution has under this profile."""
    return _PARTS * _JSON_GROWTH * profile.code_kb * _KB + _NAMES


async def read_execution(
    model: type[E], request: Request, profile: SandboxProfile, most_values: int = _MOST_VALUES
) -> E:
    """The execution of this type in a request's body, held to the profile.

    Raises:
        Refused: the body is no valid execution, exceeds a limit, or asks for a terminal. No more than the longest valid
            body is read.
    """
    execution = parse(model, await read_body(request, profile), most_values)
    if execution.terminal:
        raise Refused(Code.INVALID_REQUEST, "terminal: only the WebSocket /execute/stream has one.")
    admit(execution, profile)
    return execution


async def read_body(request: Request, profile: SandboxProfile) -> bytes:
    """The body of a request, whose headers must say that it is JSON.

    Raises:
        Refused: it is not JSON by its headers, or is longer than a valid execution can be.
        ClientDisconnect: it broke off, or took longer than _BODY_SECONDS.
    """
    require_json(request.headers)
    longest = longest_body(profile)
    body = bytearray()
    with anyio.move_on_after(_BODY_SECONDS):
        async for chunk in request.stream():
            body += chunk
            if len(body) > longest:
                raise Refused(Code.BODY_TOO_LONG, f"The body is longer than {longest} bytes.")
        return bytes(body)
    raise ClientDisconnect


def parse(model: type[M], body: bytes | str, most_values: int = _MOST_VALUES) -> M:
    """The message of this type that `body` holds as JSON, or `Refused` that names its first faults."""
    return read_json(model.model_validate_json, body, most_values)


def read_json(validate: Callable[[bytes], T], body: bytes | str, most_values: int = _MOST_VALUES) -> T:
    """The result of `validate` for some JSON, or `Refused` that names the first faults.

    JSON with too many values is refused before it is validated, because pydantic makes an error object for each wrong
    value, a thousand times as large.
    """
    data = body.encode() if isinstance(body, str) else body
    # Two more matches than values: the text after the last one, and the empty end.
    if next(islice(_UP_TO_A_VALUE.finditer(data), most_values + 2, None), None):
        raise Refused(Code.INVALID_REQUEST, f"The JSON has more than {most_values} values.")
    with _refusing():
        return validate(data)


def build(fields: Mapping[str, object], profile: SandboxProfile) -> Execution:
    """The execution with these fields, which come from JSON that was read, held to the profile.

    Raises:
        Refused: it is no valid execution, which names its first faults, or exceeds a limit.
    """
    with _refusing():
        execution = Execution.model_validate(fields)
    admit(execution, profile)
    return execution


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
    # pydantic counts only valid items: a list of wrong ones would be called too short as well.
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
    """Raise `Refused` when the execution exceeds a limit of the profile, or has no code."""
    limit = profile.code_kb * _KB
    if not execution.sources[execution.main_file].strip():
        raise Refused(Code.EMPTY_CODE, "The code is empty.")
    if (size := sum(map(len, execution.sources.values()))) > limit:
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
    """Raise `Refused` when `size`, the bytes of stdin that an execution gets in all, exceeds the profile's limit."""
    limit = profile.code_kb * _KB
    if size > limit:
        raise Refused(Code.INPUT_TOO_LONG, f"stdin has {size} bytes of UTF-8; the limit is {limit}.")
