"""codapi's API, so that pages with its snippets (codapi-js) change one address. Its `command` is always run."""

from collections.abc import Callable

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from app.api.compatibility import Neighbour, named
from app.wire.admission import parse
from app.wire.problems import Code, Refused
from app.wire.protocol import ExecutionResult, Status

_MS = 1000
_MAIN = ""
"""Name of the main file in a request."""
_COMMAND = "run"
_DATA_URL = "data:"
_BASE64 = ";base64,"


class CodapiRequest(BaseModel):
    """The body of POST /v1/exec."""

    model_config = ConfigDict(frozen=True)

    id: str | None = Field(None, description="Taken and not used: each execution has an id of its own.")
    sandbox: str = Field(description="Name or alias of an environment.")
    version: str | None = Field(None, description="Taken and not used: each environment has one version.")
    command: str = Field(_COMMAND, description="`run`.")
    files: dict[str, str] = Field(
        description="The code under the name '', others under theirs; a data URL in base64 is decoded."
    )


class CodapiAnswer(BaseModel):
    """The answer of POST /v1/exec, also when the request is refused."""

    model_config = ConfigDict(frozen=True)

    id: str
    ok: bool
    duration: int = Field(description="In milliseconds.")
    stdout: str
    stderr: str


class Codapi:
    """The endpoint. `refused` is told why, when a request is."""

    def __init__(self, neighbour: Neighbour, refused: Callable[[Code], None]) -> None:
        self._neighbour = neighbour
        self._refused = refused

    async def execute(self, request: Request) -> Response:
        """POST /v1/exec."""
        try:
            return _json(await self._execute(request))
        except Refused as refused:
            problem = refused.problem
            self._refused(problem.code)
            answer = CodapiAnswer(id="-", ok=False, duration=0, stdout="", stderr=problem.detail)
            return _json(answer, problem.status, problem.headers)

    async def _execute(self, request: Request) -> CodapiAnswer:
        asked = parse(CodapiRequest, await self._neighbour.body(request))
        environment = named(await self._neighbour.environments(), asked.sandbox)
        if environment is None:
            raise Refused(Code.UNKNOWN_ENVIRONMENT, f"unknown sandbox: {asked.sandbox}")
        if asked.command != _COMMAND:
            raise Refused(Code.INVALID_REQUEST, f"unknown command: sandbox {asked.sandbox}, command {asked.command}")
        if _MAIN not in asked.files:
            raise Refused(Code.INVALID_REQUEST, "files: the main file, whose name is empty, is missing")
        files = [_file(name or environment.main, content) for name, content in asked.files.items()]
        fields = {"environment": environment.name, "files": files, "main": environment.main}
        return _answer(await self._neighbour.run(request, fields))


def _file(name: str, content: str) -> dict[str, str]:
    if not content.startswith(_DATA_URL):
        return {"name": name, "content": content}
    _, mark, data = content.partition(_BASE64)
    if not mark:
        raise Refused(Code.INVALID_REQUEST, f"the content of {name} is a data URL that is not in base64")
    return {"name": name, "content": data, "encoding": "base64"}


def _answer(result: ExecutionResult) -> CodapiAnswer:
    # What the platform did to the code is told on stderr: the answer has no other place for it.
    stopped = result.status not in {Status.SUCCESS, Status.ERROR}
    return CodapiAnswer(
        id=result.execution_id,
        ok=result.status is Status.SUCCESS,
        duration=round(result.execution_time * _MS),
        stdout=result.stdout,
        stderr="\n".join(filter(None, (result.stderr, result.error if stopped else None))),
    )


def _json(answer: CodapiAnswer, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(answer.model_dump_json(), status_code=status, media_type="application/json", headers=headers)
