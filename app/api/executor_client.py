"""The client of the executor's HTTP interface on its Unix socket."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import WebSocketException

from app.process import correlation
from app.profile import SandboxProfile
from app.wire import protocol
from app.wire.media import JSON
from app.wire.problems import Code, Problem, Refused
from app.wire.unix_http import Answer, UnixHttp, Unreachable

T = TypeVar("T")
M_co = TypeVar("M_co", covariant=True)

_log = logging.getLogger(__name__)

_QUICK_SECONDS = 5.0
_BESIDE_THE_RUN_SECONDS = 120.0
"""Time beside the run: up to 60 s in the queue, and creating and removing the sandbox."""
_GOODBYE_SECONDS = 1.0
_RETRY_SECONDS = 5
_ENVIRONMENTS = TypeAdapter(tuple[protocol.EnvironmentInfo, ...])
_EVENT: TypeAdapter[protocol.Event] = TypeAdapter(protocol.Event)


@dataclass(frozen=True)
class Said(Generic[M_co]):
    """A message of the executor and the JSON that it was parsed from."""

    message: M_co
    json: bytes


Finish = Callable[[Said[protocol.Result]], Said[protocol.Result]]


class ExecutorStream:
    """The WebSocket of a running execution. `finish` is given the result, and returns what `events` has of it."""

    def __init__(self, connection: ClientConnection, finish: Finish) -> None:
        self._connection = connection
        self._finish = finish

    async def send(self, command: protocol.Command) -> None:
        """Send a command. It has no effect after the end of the execution."""
        with contextlib.suppress(WebSocketException):
            await self._connection.send(command.model_dump_json())

    async def events(self) -> AsyncIterator[Said[protocol.Happening]]:
        """Events; the last one is the result. `Refused` when the executor refuses, disconnects or can't be read."""
        while True:
            with _reachable():
                json = await self._connection.recv(decode=False)
            try:
                event = _EVENT.validate_json(json)
            except ValidationError:
                _log.error("a frame of the executor is invalid; does it have the same version?")
                raise _away() from None
            if isinstance(event, protocol.Fault):
                raise Refused(event.code, event.detail, event.retry_after)
            if isinstance(event, protocol.Result):
                yield self._finish(Said(event, json))
                return
            yield Said(event, json)


class ExecutorClient:
    """Requests to the executor. Every failure raises `Refused`; the executor's refusals keep their code."""

    def __init__(self, socket: Path, profile: SandboxProfile) -> None:
        self._socket = socket
        self._http = UnixHttp(socket)
        self._run_seconds = profile.timeout_seconds + _BESIDE_THE_RUN_SECONDS

    async def execute(self, execution: protocol.Execution) -> Said[protocol.ExecutionResult]:
        """Run an execution and wait for its result."""
        answer = await self._ask("POST", "/execute", self._run_seconds, execution.model_dump_json().encode())
        return Said(_read(protocol.ExecutionResult.model_validate_json, answer), answer.body)

    @contextlib.asynccontextmanager
    async def stream(self, execution: protocol.Execution, finish: Finish) -> AsyncIterator[ExecutorStream]:
        """Start an execution. Leaving the context cancels it."""
        connection: ClientConnection | None = None
        try:
            async with asyncio.timeout(self._run_seconds):
                with _reachable():
                    # The executor's frames need no size limit here: the profile bounds them.
                    connection = await unix_connect(
                        str(self._socket),
                        "ws://executor/stream",
                        additional_headers=_ids(),
                        compression=None,
                        max_size=None,
                        ping_interval=None,
                        open_timeout=_QUICK_SECONDS,
                        close_timeout=_GOODBYE_SECONDS,
                    )
                    start = protocol.Start.model_construct(
                        **{name: getattr(execution, name) for name in protocol.Execution.model_fields}
                    )
                    await connection.send(start.model_dump_json())
                yield ExecutorStream(connection, finish)
        except TimeoutError as error:
            _log.error("the executor did not end an execution within %g s", self._run_seconds)
            raise _away() from error
        finally:
            if connection is not None:
                await connection.close()

    async def environments(self) -> tuple[protocol.EnvironmentInfo, ...]:
        """The environments that the executor serves."""
        return _read(_ENVIRONMENTS.validate_json, await self._ask("GET", "/environments"))

    async def health(self) -> protocol.ExecutorHealth:
        """The state of the engine; `Refused` when the executor doesn't answer."""
        return _read(protocol.ExecutorHealth.model_validate_json, await self._ask("GET", "/health"), also=503)

    async def stats(self) -> protocol.ExecutorStats:
        """The executor's current load."""
        return _read(protocol.ExecutorStats.model_validate_json, await self._ask("GET", "/stats"))

    async def metrics(self) -> bytes:
        """The executor's metrics in Prometheus' text format."""
        answer = await self._ask("GET", "/metrics")
        if answer.status != 200:
            raise _away()
        return answer.body

    async def _ask(self, method: str, target: str, seconds: float = _QUICK_SECONDS, body: bytes = b"") -> Answer:
        content_type = {"Content-Type": JSON} if body else {}
        with _reachable():
            return await self._http.ask(method, target, seconds, {**content_type, **_ids()}, body)


def _ids() -> dict[str, str]:
    now = correlation.current.get()
    return now.headers if now else {}


@contextlib.contextmanager
def _reachable() -> Iterator[None]:
    try:
        yield
    except (Unreachable, OSError, WebSocketException) as error:
        _log.error("the executor can't be reached: %r", error)
        raise _away() from error


def _read(validate: Callable[[bytes], T], response: Answer, also: int = 200) -> T:
    try:
        if response.status in {200, also}:
            return validate(response.body)
        problem = Problem.model_validate_json(response.body)
    except ValidationError:
        _log.error("the executor's answer with status %d is invalid; does it have the same version?", response.status)
        raise _away() from None
    raise Refused(problem.code, problem.detail, problem.retry_after)


def _away() -> Refused:
    return Refused(
        Code.EXECUTOR_UNAVAILABLE,
        "The executor is unavailable. This is a fault of the platform, not of your code: try again later.",
        _RETRY_SECONDS,
    )
