"""The api's side of the Unix socket."""

import logging
from typing import TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from app.problems import Code, Problem, Refused
from app.profile import SandboxProfile
from app.protocol import EnvironmentInfo, Execution, ExecutionResult, ExecutorHealth, ExecutorStats

T = TypeVar("T")

_log = logging.getLogger(__name__)

_QUICK_SECONDS = 5
_BESIDE_THE_RUN_SECONDS = 120
"""The longest queue (60 s), and making and removing the sandbox."""
_RETRY_SECONDS = 5
_ENVIRONMENTS = TypeAdapter(tuple[EnvironmentInfo, ...])
_RESULT = TypeAdapter(ExecutionResult)
_HEALTH = TypeAdapter(ExecutorHealth)
_STATS = TypeAdapter(ExecutorStats)


def executor_transport(socket: str) -> httpx.AsyncBaseTransport:
    """A new connection for each request: none is stale after the executor restarts, and hanging up cancels the run."""
    return httpx.AsyncHTTPTransport(uds=socket, limits=httpx.Limits(max_connections=None, max_keepalive_connections=0))


class ExecutorClient:
    """Asks the executor. Every failure is `Refused`: the executor's own refusals keep their code."""

    def __init__(self, transport: httpx.AsyncBaseTransport, profile: SandboxProfile) -> None:
        self._http = httpx.AsyncClient(transport=transport, base_url="http://executor", timeout=_QUICK_SECONDS)
        self._run_timeout = httpx.Timeout(_QUICK_SECONDS, read=profile.timeout_seconds + _BESIDE_THE_RUN_SECONDS)

    async def execute(self, execution: Execution) -> ExecutionResult:
        """Run it in a sandbox."""
        request = self._http.build_request(
            "POST", "/execute", content=execution.model_dump_json(), timeout=self._run_timeout
        )
        return _read(_RESULT, await self._answer(request))

    async def environments(self) -> tuple[EnvironmentInfo, ...]:
        """What can be run."""
        return _read(_ENVIRONMENTS, await self._answer(self._http.build_request("GET", "/environments")))

    async def health(self) -> ExecutorHealth:
        """Whether the engine answers; `Refused` when the executor itself doesn't."""
        return _read(_HEALTH, await self._answer(self._http.build_request("GET", "/health")), also=503)

    async def stats(self) -> ExecutorStats:
        """Its load now."""
        return _read(_STATS, await self._answer(self._http.build_request("GET", "/stats")))

    async def close(self) -> None:
        """Let go of the transport."""
        await self._http.aclose()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(request)
        except httpx.HTTPError as error:
            _log.error("the executor can't be reached: %r", error)
            raise _away() from error


def _read(answer: TypeAdapter[T], response: httpx.Response, also: int = 200) -> T:
    try:
        if response.status_code in {200, also}:
            return answer.validate_json(response.content)
        problem = Problem.model_validate_json(response.content)
    except ValidationError:
        _log.error("the executor's answer %d can't be understood; is it of the same version?", response.status_code)
        raise _away() from None
    raise Refused(problem.code, problem.detail, problem.retry_after)


def _away() -> Refused:
    return Refused(
        Code.EXECUTOR_UNAVAILABLE,
        "The executor is away. This is a fault of the platform, not of your code: try again later.",
        _RETRY_SECONDS,
    )
