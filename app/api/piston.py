"""Piston's HTTP API, version 2, so that a site that used Piston only changes an address.

Compared with Piston's source of 26 March 2026 (commit 0a844d0). What differs from it:

- Nothing is compiled: `compile_timeout`, `compile_cpu_time` and `compile_memory_limit` have no effect.
- Memory and CPU time are the profile's: a lower `run_memory_limit` or `run_cpu_time` has no effect, and a higher one is
  refused, as by a Piston with these limits. The default of `run_timeout` is the profile's timeout.
- A version that Piston had is answered by ours; `version` in the answer is the one that ran.
- A main file without a name gets the environment's default name, unless another file has that one.
- An unknown encoding counts as utf8 also for the choice of the main file.
- Empty code, and more files or arguments than POST /execute takes, are refused.
"""

import base64
import json
import posixpath
import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, Field, RootModel
from starlette.requests import Request
from starlette.responses import Response

from app.api.executions import Executions
from app.api.operation import Document, json_answer
from app.api.piston_packages import Runtime, find_runtime
from app.process.connection import while_connected
from app.profile import SandboxProfile
from app.wire.admission import build, parse
from app.wire.problems import Code, Refused
from app.wire.protocol import EnvironmentInfo, ExecutionResult, Status

_MS = 1000
_MB = 1024 * 1024
_NOT_BASE64 = re.compile("[^A-Za-z0-9+/]")
_HEX = re.compile("(?:[0-9A-Fa-f]{2})*")


def _known_encoding(name: Any) -> Any:
    return name if name in ("base64", "hex") else "utf8"


def _none_if_false(value: Any) -> Any:
    """Piston treats a value that is false in JavaScript, such as 0 or "", as a missing field."""
    return value or None


def _as_node_writes_it(argument: Any) -> Any:
    """A number, a boolean or null as the text that Node makes of it. Piston's own client sends numbers."""
    if argument is None or isinstance(argument, bool | int):
        return json.dumps(argument)
    if isinstance(argument, float):
        return f"{argument:.0f}" if argument.is_integer() else repr(argument)
    return argument


_Args = Annotated[
    tuple[Annotated[str, BeforeValidator(_as_node_writes_it)], ...] | None, BeforeValidator(_none_if_false)
]
_Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
_Time = Annotated[Annotated[_Number, Field(ge=-1)] | None, BeforeValidator(_none_if_false)]
_Memory = Annotated[_Number | None, BeforeValidator(_none_if_false)]


class PistonFile(Document):
    """A file of the program."""

    name: str | None = None
    """Path in the program's folder; a leading ./ or / is dropped."""
    content: str
    encoding: Annotated[Literal["utf8", "base64", "hex"], BeforeValidator(_known_encoding)] = "utf8"
    """Any other value counts as utf8."""

    def in_base64(self) -> str:
        """The content of a hex or base64 file, as base64. Malformed text is read as Node's Buffer reads it."""
        if self.encoding == "hex":
            digits = _HEX.match(self.content)
            return base64.b64encode(bytes.fromhex(digits[0] if digits else "")).decode()
        text, _, _ = self.content.replace("-", "+").replace("_", "/").partition("=")
        text = _NOT_BASE64.sub("", text)
        text = text[:-1] if len(text) % 4 == 1 else text
        return text + "=" * (-len(text) % 4)


class PistonRequest(Document):
    """The body of POST /api/v2/execute. Times are in milliseconds, memory in bytes; -1 is the highest limit."""

    language: str
    version: str = Field(min_length=1, max_length=64)
    """A version or a range as npm writes it; `*` is any version."""
    files: tuple[PistonFile, ...]
    """The first in utf8 is run. When two have the same name, the content of the last is kept."""
    stdin: str | None = None
    """A newline is added when it does not end with one."""
    args: _Args = None
    run_timeout: _Time = None
    run_cpu_time: _Time = None
    run_memory_limit: _Memory = None

    def execution(self, environment: EnvironmentInfo, profile: SandboxProfile) -> dict[str, object]:
        """The fields of an `Execution`, without stdin; `Refused` when a limit is above the profile's."""
        longest = round(profile.timeout_seconds * _MS)
        for name, value, limit in (
            ("run_timeout", self.run_timeout, longest),
            ("run_cpu_time", self.run_cpu_time, longest),
            ("run_memory_limit", self.run_memory_limit, profile.memory_mb * _MB),
        ):
            if value is not None and value > limit:
                raise Refused(Code.INVALID_REQUEST, f"{name} cannot exceed the configured limit of {limit}")
        return {
            "environment": environment.name,
            "files": self._program(environment.main),
            "args": self.args or (),
            "timeout": self.run_timeout / _MS if self.run_timeout and self.run_timeout > 0 else None,
        }

    def _program(self, default: str) -> tuple[dict[str, str], ...]:
        main = next((number for number, file in enumerate(self.files) if file.encoding == "utf8"), None)
        if main is None:
            raise Refused(Code.INVALID_REQUEST, "files must include at least one utf8 encoded file")
        names = [
            posixpath.normpath(file.name.lstrip("/")) if file.name else f"file{number}.code"
            for number, file in enumerate(self.files)
        ]
        if not self.files[main].name and default not in names:
            names[main] = default
        # The first file of an `Execution` is its main file.
        files = {names[main]: self.files[main], **dict(zip(names, self.files, strict=True))}
        return tuple(_file(name, file) for name, file in files.items())


def _file(name: str, file: PistonFile) -> dict[str, str]:
    if file.encoding == "utf8":
        return {"name": name, "content": file.content}
    return {"name": name, "content": file.in_base64(), "encoding": "base64"}


class PistonRun(Document):
    """The result of the program. Times are in milliseconds, memory in bytes."""

    stdout: str
    stderr: str
    output: str
    """stdout and stderr in the order in which they were written."""
    code: int | None
    """The exit code; null when a signal or a limit ended it."""
    signal: str | None
    message: str | None
    status: Literal["RE", "SG", "TO", "OL", "EL"] | None = Field(
        description="Null when it ended well, RE with an exit code, SG by a signal, TO by the time limit, OL by the "
        "output limit with more on stdout, EL with more on stderr."
    )
    cpu_time: int | None
    wall_time: int
    memory: int | None


class PistonAnswer(Document):
    """The answer of POST /api/v2/execute."""

    language: str
    version: str
    run: PistonRun


class PistonRuntime(Document):
    """An item of GET /api/v2/runtimes."""

    language: str
    version: str
    aliases: tuple[str, ...]
    runtime: str | None = None
    """The runtime's name, when it differs from the language's."""


class PistonRuntimes(RootModel[tuple[PistonRuntime, ...]]):
    """The answer of GET /api/v2/runtimes."""


class PistonPackage(Document):
    """An item of GET /api/v2/packages."""

    language: str
    """The package's name."""
    language_version: str
    installed: Literal[True] = True


class PistonPackages(RootModel[tuple[PistonPackage, ...]]):
    """The answer of GET /api/v2/packages: the installed ones. No others can be installed."""


class PistonMessage(Document):
    """The body of a refusal."""

    message: str


# The endpoints. The docstring is in the OpenAPI document.
class Piston:
    """The API of Piston, version 2. A language is a name of Piston's, or an environment's name or alias. Versions that
    Piston had are answered by ours. Nothing is compiled. A limit above the sandbox's own is refused; of those below it,
    only `run_timeout` has an effect.
    """

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    async def runtimes(self, _: Request) -> Response:
        """GET /api/v2/runtimes."""
        return await self._list(lambda found: PistonRuntimes(tuple(map(_runtime, found))))

    async def packages(self, _: Request) -> Response:
        """GET /api/v2/packages."""
        return await self._list(lambda found: PistonPackages(tuple(map(_package, found))))

    async def execute(self, request: Request) -> Response:
        """POST /api/v2/execute."""
        try:
            return json_answer(await self._execute(request))
        except Refused as refused:
            return self._refusal(refused)

    async def _list(self, written: Callable[[Iterable[Runtime]], BaseModel]) -> Response:
        try:
            found = map(Runtime, await self._executions.executor.environments())
        except Refused as refused:
            return self._refusal(refused)
        return json_answer(written(found), exclude_none=True)

    async def _execute(self, request: Request) -> PistonAnswer:
        asked = parse(PistonRequest, await self._executions.body(request))
        runtime = find_runtime(await self._executions.executor.environments(), asked.language, asked.version)
        fields = asked.execution(runtime.environment, self._executions.profile)
        stdin = asked.stdin or ""
        fields["stdin"] = stdin if stdin.endswith("\n") else f"{stdin}\n"
        execution = build(fields, self._executions.profile)
        result = (await while_connected(request, self._executions.run(execution))).message
        return PistonAnswer(language=runtime.package.language, version=runtime.environment.version, run=outcome(result))

    def _refusal(self, refused: Refused) -> Response:
        problem = refused.problem
        self._executions.metrics.refused(problem.code)
        kept = problem.status >= HTTPStatus.INTERNAL_SERVER_ERROR or problem.retry_after is not None
        kept = kept or problem.code is Code.UNSUPPORTED_MEDIA_TYPE
        status = problem.status if kept else HTTPStatus.BAD_REQUEST
        return json_answer(PistonMessage(message=problem.detail), status, problem.headers)


def _runtime(found: Runtime) -> PistonRuntime:
    package = found.package
    return PistonRuntime(
        language=package.language,
        version=found.environment.version,
        aliases=found.aliases,
        runtime=None if package.name == package.language else package.name,
    )


def _package(found: Runtime) -> PistonPackage:
    return PistonPackage(language=found.package.name, language_version=found.environment.version)


def outcome(result: ExecutionResult) -> PistonRun:
    """The result of an execution in Piston's form."""
    stopped = result.exit_code is None
    return PistonRun(
        stdout=result.stdout,
        stderr=result.stderr,
        output=result.output,
        code=None if result.signal else result.exit_code,
        signal="SIGKILL" if stopped else result.signal,
        message=result.error,
        status=_status(result),
        cpu_time=None if result.cpu_time is None else round(result.cpu_time * _MS),
        wall_time=round(result.execution_time * _MS),
        memory=result.memory_peak,
    )


def _status(result: ExecutionResult) -> Literal["RE", "SG", "TO", "OL", "EL"] | None:
    match result.status:
        case Status.SUCCESS:
            return None
        case Status.TIMEOUT:
            return "TO"
        case Status.OUTPUT_LIMIT:
            return "EL" if len(result.stderr) > len(result.stdout) else "OL"
        case Status.MEMORY_LIMIT | Status.KILLED:
            return "SG"
        case Status.ERROR | Status.PROCESS_LIMIT:
            return "SG" if result.signal else "RE"
