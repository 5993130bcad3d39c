"""codapi's API, so that a page with codapi's snippets (codapi-js) only changes an address.

Compared with codapi's source of 27 September 2025 (commit adb6c90) and codapi-js's of 21 August 2026 (commit f434fd3).
What differs from them:

- The only command is `run`.
- An unknown sandbox or command is refused with 400, not 404; a busy platform with 503, not 429.
- When the code fails, its output stays on stdout and stderr. codapi moves all of it to stderr.
"""

import posixpath
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import Response

from app.api.executions import Executions
from app.api.operation import Document, json_answer
from app.process.connection import while_connected
from app.wire.admission import build, parse
from app.wire.problems import Code, Refused
from app.wire.protocol import ExecutionResult, Status

_MS = 1000
_COMMAND = "run"
_STATUSES = {Code.INVALID_REQUEST: HTTPStatus.BAD_REQUEST}
"""codapi has no 422: it refuses each invalid request with 400."""
_DATA_URL = "data:"
_BASE64 = "base64"


class CodapiRequest(Document):
    """The body of POST /v1/exec."""

    id: str | None = None
    """Ignored: each execution gets a new id."""
    sandbox: str
    """Name or alias of an environment."""
    version: str | None = None
    """Ignored: each environment has one version."""
    command: str = _COMMAND
    """`run`."""
    files: dict[str, str]
    """Content by name. The main file has the environment's own name (main.py) or ''. A data URL stands for its data."""


class CodapiAnswer(Document):
    """The answer of POST /v1/exec, also when the request is refused."""

    id: str
    ok: bool
    duration: int
    """In milliseconds."""
    stdout: str
    stderr: str


# The endpoint. The docstring is in the OpenAPI document.
class Codapi:
    """The API of codapi, as codapi-js speaks it. A sandbox is an environment's name or alias."""

    def __init__(self, executions: Executions) -> None:
        self._executions = executions

    async def execute(self, request: Request) -> Response:
        """POST /v1/exec."""
        try:
            return json_answer(await self._execute(request))
        except Refused as refused:
            problem = refused.problem
            self._executions.metrics.refused(problem.code)
            answer = CodapiAnswer(id="-", ok=False, duration=0, stdout="", stderr=problem.detail)
            status = _STATUSES.get(problem.code, problem.status)
            return json_answer(answer, status, problem.headers)

    async def _execute(self, request: Request) -> CodapiAnswer:
        asked = parse(CodapiRequest, await self._executions.body(request))
        environments = await self._executions.executor.environments()
        environment = next((it for it in environments if asked.sandbox in {it.name, *it.aliases}), None)
        if environment is None:
            raise Refused(Code.UNKNOWN_ENVIRONMENT, f"unknown sandbox: {asked.sandbox}")
        if asked.command != _COMMAND:
            raise Refused(Code.INVALID_REQUEST, f"unknown command: sandbox {asked.sandbox}, command {asked.command}")
        main = environment.main
        files = {posixpath.normpath(name or main): content for name, content in asked.files.items()}
        if main not in files:
            raise Refused(Code.INVALID_REQUEST, f"files: the main file is missing; its name is '' or {main}")
        fields = {"environment": environment.name, "files": tuple(map(_file, files, files.values())), "main": main}
        execution = build(fields, self._executions.profile)
        return _answer((await while_connected(request, self._executions.run(execution))).message)


def _file(name: str, content: str) -> dict[str, str]:
    if not content.startswith(_DATA_URL):
        return {"name": name, "content": content}
    kind, comma, data = content.partition(",")
    if not comma:
        raise Refused(Code.INVALID_REQUEST, f"the content of {name} is a data URL without a comma")
    return {"name": name, "content": data, "encoding": "base64" if kind.endswith(_BASE64) else "utf8"}


def _answer(result: ExecutionResult) -> CodapiAnswer:
    # stderr also gets the reason when the platform ended the code: the answer has no other field for it.
    stopped = result.status not in {Status.SUCCESS, Status.ERROR}
    return CodapiAnswer(
        id=result.execution_id,
        ok=result.status is Status.SUCCESS,
        duration=round(result.execution_time * _MS),
        stdout=result.stdout,
        stderr="\n".join(filter(None, (result.stderr, result.error if stopped else None))),
    )
