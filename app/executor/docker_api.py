"""The few calls of the Docker Engine's API that a sandbox needs, over its Unix socket."""

import asyncio
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from app.executor.engine import EngineError
from app.wire.unix_http import Answer, UnixHttp, Unreachable, Upgraded

_CALL_SECONDS = 30
"""The longest that one call may take."""
_PING_SECONDS = 3
_LEAVE_SECONDS = 1
"""The longest wait for a container to end by itself, which takes the engine 40 ms. Then it is killed."""
_JSON = {"Content-Type": "application/json"}


class Connection:
    """A container's attached streams: bytes in, the engine's multiplexed stream out."""

    def __init__(self, streams: Upgraded) -> None:
        self._streams = streams

    async def write(self, data: bytes) -> None:
        """Send to the container's stdin, or `EngineError`."""
        with _explained():
            await self._streams.write(data)

    async def read(self) -> bytes:
        """The next bytes; none once the container has ended, or the engine has gone."""
        try:
            return await self._streams.read()
        except OSError:
            return b""

    async def leave(self) -> None:
        """End the container's stdin, and return when it has ended, or has not for too long."""
        with contextlib.suppress(OSError):  # TimeoutError is one
            async with asyncio.timeout(_LEAVE_SECONDS):
                self._streams.end()
                while await self._streams.read():
                    pass

    def close(self) -> None:
        """Hang up: the engine waits for an attached reader before it removes a container."""
        self._streams.close()


@dataclass(frozen=True)
class Listed:
    """A container in a listing."""

    id: str
    labels: Mapping[str, str]


class DockerApi:
    """Every failure is an `EngineError`. `url` is that of a Unix socket."""

    def __init__(self, url: str) -> None:
        # No version in the paths: engines drop old ones, and what is asked for here is in all of them.
        self._http = UnixHttp(Path(url.removeprefix("unix://")))

    async def create(self, name: str, body: Mapping[str, Any]) -> Sequence[str]:
        """Create a container, and return the engine's warnings."""
        answer = await self._call("POST", f"/containers/create?name={quote(name)}", body)
        return tuple(answer.json().get("Warnings") or ())

    async def attach(self, name: str) -> Connection:
        """Attach to all streams. Before the start, or early output is lost."""
        target = f"/containers/{quote(name)}/attach?stream=1&stdin=1&stdout=1&stderr=1"
        with _explained():
            answer = await self._http.upgrade("POST", target, "tcp", _CALL_SECONDS)
        if isinstance(answer, Answer):
            raise _refusal(answer)
        return Connection(answer)

    async def start(self, name: str) -> None:
        """Start a container that was created."""
        await self._call("POST", f"/containers/{quote(name)}/start")

    async def killed_for_memory(self, name: str) -> bool:
        """Whether the kernel has killed a process of the container for its memory, asked when PID 1 has ended."""
        await self._call("POST", f"/containers/{quote(name)}/wait")
        answer = await self._call("GET", f"/containers/{quote(name)}/json")
        return bool(answer.json()["State"]["OOMKilled"])

    async def remove(self, name: str) -> None:
        """Kill and remove, and return when it is gone. Another call may have begun to remove it, or be done with it."""
        gone_or_under_way = (HTTPStatus.NOT_FOUND, HTTPStatus.CONFLICT)
        answer = await self._call("DELETE", f"/containers/{quote(name)}?force=1&v=1", but=gone_or_under_way)
        if answer.status == HTTPStatus.CONFLICT:
            wait = f"/containers/{quote(name)}/wait?condition=removed"
            await self._call("POST", wait, but=(HTTPStatus.NOT_FOUND,))

    async def find(self, labels: Sequence[str]) -> Sequence[Listed]:
        """All containers that have these labels, each `name` or `name=value`."""
        filters = quote(json.dumps({"label": list(labels)}))
        answer = await self._call("GET", f"/containers/json?all=1&filters={filters}")
        return [Listed(found["Id"], found["Labels"]) for found in answer.json()]

    async def inspect(self, name: str) -> Mapping[str, Any]:
        """What the engine knows of a container. Empty when it is gone."""
        return await self._read(f"/containers/{quote(name)}/json")

    async def stats(self, name: str) -> Mapping[str, Any]:
        """What the kernel has counted for a container until now. Empty when it is gone."""
        return await self._read(f"/containers/{quote(name)}/stats?stream=false&one-shot=true")

    async def runtime_arguments(self, name: str) -> Sequence[str] | None:
        """Those with which the engine starts an OCI runtime. None: it does not know it."""
        found = (await self._call("GET", "/info")).json()["Runtimes"].get(name)
        return None if found is None else tuple(found.get("runtimeArgs") or ())

    async def ping(self) -> None:
        """Return when the engine answers."""
        await self._call("GET", "/_ping", seconds=_PING_SECONDS)

    async def _read(self, path: str) -> Mapping[str, Any]:
        answer = await self._call("GET", path, but=(HTTPStatus.NOT_FOUND,))
        found: Mapping[str, Any] = {} if answer.status == HTTPStatus.NOT_FOUND else answer.json()
        return found

    async def _call(
        self,
        method: str,
        target: str,
        body: Mapping[str, Any] | None = None,
        but: Sequence[int] = (),
        seconds: float = _CALL_SECONDS,
    ) -> Answer:
        sent = (_JSON, json.dumps(body).encode()) if body is not None else ({}, b"")
        with _explained():
            answer = await self._http.ask(method, target, seconds, *sent)
        if answer.status >= HTTPStatus.BAD_REQUEST and answer.status not in but:
            raise _refusal(answer)
        return answer


def _refusal(answer: Answer) -> EngineError:
    try:
        said = answer.json()["message"]
    except (ValueError, KeyError, TypeError):
        said = answer.body.decode(errors="replace")
    return EngineError(f"the engine refused: {said}")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except (Unreachable, OSError) as error:
        if isinstance(error.__cause__, TimeoutError):
            raise EngineError("the engine has not answered in time") from error
        raise EngineError(f"the engine can't be reached: {error or type(error).__name__}") from error
