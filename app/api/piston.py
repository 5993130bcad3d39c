"""Piston's API, version 2, so that a site whose Piston is gone changes one address.

What differs from Piston: nothing is compiled, so `compile_timeout` and its like have no effect; memory and CPU time
are the sandbox's own, so a lower `run_memory_limit` or `run_cpu_time` has no effect, and a higher one is refused, as
Piston refuses it. Without `run_timeout` a run may take the whole time of a sandbox.
"""

import base64
import binascii
from collections.abc import Callable
from http import HTTPStatus
from typing import Literal

import nodesemver  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict, Field, RootModel
from starlette.requests import Request
from starlette.responses import Response

from app.api.compatibility import Neighbour
from app.wire.admission import parse
from app.wire.problems import Code, Refused
from app.wire.protocol import EnvironmentInfo, ExecutionResult, Status

_MS = 1000
_MB = 1024 * 1024
_LARGEST = -1
"""In a request: the most there is."""
_LANGUAGES = {"node": "javascript"}
"""Environments that are the runtime of a language with another name."""


class PistonFile(BaseModel):
    """A file of the program."""

    model_config = ConfigDict(frozen=True)

    name: str | None = None
    content: str
    encoding: Literal["utf8", "base64", "hex"] = "utf8"


class PistonRequest(BaseModel):
    """The body of POST /api/v2/execute. Times are in milliseconds, memory in bytes; -1 is the most there is."""

    model_config = ConfigDict(frozen=True)

    language: str
    version: str = Field(max_length=64, description="A version or a range as npm writes it; `*` is any.")
    files: tuple[PistonFile, ...] = Field(min_length=1, description="The first in utf8 is run.")
    stdin: str = ""
    args: tuple[str, ...] = ()
    run_timeout: int | None = Field(None, ge=_LARGEST)
    run_cpu_time: int | None = Field(None, ge=_LARGEST)
    run_memory_limit: int | None = Field(None, ge=_LARGEST)


class PistonRun(BaseModel):
    """How the program ended. Times are in milliseconds, memory in bytes."""

    model_config = ConfigDict(frozen=True)

    stdout: str
    stderr: str
    output: str = Field(description="stdout and stderr in the order in which they were written.")
    code: int | None = Field(description="The exit code; null when a signal or a limit ended it.")
    signal: str | None
    message: str | None
    status: Literal["RE", "SG", "TO", "OL", "EL"] | None = Field(
        description="Null when it ended well, RE with an exit code, SG by a signal, TO by the time limit, OL by the "
        "output limit with more on stdout, EL with more on stderr."
    )
    cpu_time: int | None
    wall_time: int
    memory: int | None


class PistonAnswer(BaseModel):
    """The answer of POST /api/v2/execute."""

    model_config = ConfigDict(frozen=True)

    language: str
    version: str
    run: PistonRun


class PistonRuntime(BaseModel):
    """An item of GET /api/v2/runtimes."""

    model_config = ConfigDict(frozen=True)

    language: str
    version: str
    aliases: tuple[str, ...]
    runtime: str | None = Field(description="What runs the language, when its name is another.")


class PistonRuntimes(RootModel[tuple[PistonRuntime, ...]]):
    """The answer of GET /api/v2/runtimes."""


class PistonMessage(BaseModel):
    """The body of a refusal, in Piston's shape."""

    model_config = ConfigDict(frozen=True)

    message: str


class Piston:
    """The endpoints. `refused` is told why, when a request is."""

    def __init__(self, neighbour: Neighbour, refused: Callable[[Code], None]) -> None:
        self._neighbour = neighbour
        self._refused = refused

    async def runtimes(self, _: Request) -> Response:
        """GET /api/v2/runtimes."""
        try:
            found = await self._neighbour.environments()
        except Refused as refused:
            return self._refusal(refused)
        return _json(PistonRuntimes(tuple(map(_runtime, found))))

    async def execute(self, request: Request) -> Response:
        """POST /api/v2/execute."""
        try:
            return _json(await self._execute(request))
        except Refused as refused:
            return self._refusal(refused)

    async def _execute(self, request: Request) -> PistonAnswer:
        asked = parse(PistonRequest, await self._neighbour.body(request))
        self._check(asked)
        environment = _match(await self._neighbour.environments(), asked)
        result = await self._neighbour.run(
            request,
            {
                "environment": environment.name,
                **_program(asked, environment),
                "stdin": asked.stdin,
                "args": asked.args,
                "timeout": None if asked.run_timeout in {None, _LARGEST} else (asked.run_timeout or 0) / _MS,
            },
        )
        runtime = _runtime(environment)
        return PistonAnswer(language=runtime.language, version=runtime.version, run=_run(result))

    def _check(self, asked: PistonRequest) -> None:
        profile = self._neighbour.profile
        longest = round(profile.timeout_seconds * _MS)
        for name, value, limit in (
            ("run_timeout", asked.run_timeout, longest),
            ("run_cpu_time", asked.run_cpu_time, longest),
            ("run_memory_limit", asked.run_memory_limit, profile.memory_mb * _MB),
        ):
            if value is not None and value > limit:
                raise Refused(Code.INVALID_REQUEST, f"{name} cannot exceed the configured limit of {limit}")

    def _refusal(self, refused: Refused) -> Response:
        problem = refused.problem
        self._refused(problem.code)
        of_the_request = problem.status < HTTPStatus.INTERNAL_SERVER_ERROR and problem.retry_after is None
        return Response(
            PistonMessage(message=problem.detail).model_dump_json(),
            status_code=HTTPStatus.BAD_REQUEST if of_the_request else problem.status,
            media_type="application/json",
            headers=problem.headers,
        )


def _runtime(environment: EnvironmentInfo) -> PistonRuntime:
    language = _LANGUAGES.get(environment.name, environment.name)
    names = (environment.name, *environment.aliases)
    return PistonRuntime(
        language=language,
        version=environment.version,
        aliases=tuple(name for name in names if name != language),
        runtime=None if language == environment.name else environment.name,
    )


def _match(environments: tuple[EnvironmentInfo, ...], asked: PistonRequest) -> EnvironmentInfo:
    for environment in environments:
        runtime = _runtime(environment)
        if asked.language in {runtime.language, *runtime.aliases} and nodesemver.satisfies(
            environment.version, asked.version, loose=True
        ):
            return environment
    raise Refused(Code.UNKNOWN_ENVIRONMENT, f"{asked.language}-{asked.version} runtime is unknown")


def _program(asked: PistonRequest, environment: EnvironmentInfo) -> dict[str, object]:
    """Our `files` and `main`. A file without a name gets the one that Piston gives it; the main one can be run so."""
    main = next((number for number, file in enumerate(asked.files) if file.encoding == "utf8"), None)
    if main is None:
        raise Refused(Code.INVALID_REQUEST, "files must include at least one utf8 encoded file")
    names = [file.name or f"file{number}.code" for number, file in enumerate(asked.files)]
    names[main] = asked.files[main].name or environment.main
    return {"files": [_file(name, file) for name, file in zip(names, asked.files, strict=True)], "main": names[main]}


def _file(name: str, file: PistonFile) -> dict[str, str]:
    if file.encoding != "hex":
        return {"name": name, "content": file.content, "encoding": file.encoding}
    try:
        content = binascii.unhexlify(file.content)
    except ValueError as error:
        raise Refused(Code.INVALID_REQUEST, f"the content of {name} is not hexadecimal: {error}") from None
    return {"name": name, "content": base64.b64encode(content).decode(), "encoding": "base64"}


def _run(result: ExecutionResult) -> PistonRun:
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


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")
