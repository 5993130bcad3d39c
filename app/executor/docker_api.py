"""The few calls of the Docker Engine's API that a sandbox needs, over its Unix socket."""

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import httpcore
import httpx

from app.executor.engine import EngineError

_CALL_SECONDS = 30
"""The longest that one call may take."""
_PING_SECONDS = 3
_READ = 65536
_GONE, _UNDER_WAY = 404, 409


class Connection:
    """A container's attached streams: bytes in, the engine's multiplexed stream out."""

    def __init__(self, response: httpx.Response) -> None:
        self._response = response
        self._stream: httpcore.AsyncNetworkStream = response.extensions["network_stream"]

    async def write(self, data: bytes) -> None:
        """Send to the container's stdin, or `EngineError`."""
        with _explained():
            await self._stream.write(data)

    async def read(self) -> bytes:
        """The next bytes; none once the container has ended, or the engine has gone."""
        try:
            return await self._stream.read(_READ)
        except httpcore.ReadError:
            return b""

    async def close(self) -> None:
        """Hang up: the engine waits for an attached reader before it removes a container."""
        with contextlib.suppress(httpcore.NetworkError, OSError):
            await self._response.aclose()


@dataclass(frozen=True)
class Listed:
    """A container in a listing."""

    id: str
    labels: Mapping[str, str]


class DockerApi:
    """Every failure is an `EngineError`. `url` is that of a Unix socket."""

    def __init__(self, url: str) -> None:
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(
                uds=url.removeprefix("unix://"), limits=httpx.Limits(max_connections=None, max_keepalive_connections=4)
            ),
            # No version in the path: engines drop old ones, and what is asked for here is in all of them.
            base_url="http://engine",
            timeout=_CALL_SECONDS,
        )

    async def create(self, name: str, body: Mapping[str, Any]) -> Sequence[str]:
        """Create a container, and return the engine's warnings."""
        answer = await self._call("POST", f"/containers/create?name={quote(name)}", body)
        return tuple(answer.json().get("Warnings") or ())

    async def attach(self, name: str) -> Connection:
        """Attach to all streams. Before the start, or early output is lost."""
        request = self._http.build_request(
            "POST",
            f"/containers/{quote(name)}/attach?stream=1&stdin=1&stdout=1&stderr=1",
            headers={"Connection": "Upgrade", "Upgrade": "tcp"},
        )
        with _explained():
            response = await self._http.send(request, stream=True)
            if response.status_code != httpx.codes.SWITCHING_PROTOCOLS:
                await response.aread()
                raise _refusal(response)
        return Connection(response)

    async def start(self, name: str) -> None:
        """Start a container that was created."""
        await self._call("POST", f"/containers/{quote(name)}/start")

    async def killed_for_memory(self, name: str) -> bool:
        """Whether the kernel has killed a process of the container for its memory, asked when PID 1 has ended."""
        await self._call("POST", f"/containers/{quote(name)}/wait")
        answer = await self._call("GET", f"/containers/{quote(name)}/json")
        return bool(answer.json()["State"]["OOMKilled"])

    async def remove(self, name: str) -> None:
        """Kill and remove. One that is gone, or that another call is removing, is what was asked for."""
        await self._call("DELETE", f"/containers/{quote(name)}?force=1&v=1", but=(_GONE, _UNDER_WAY))

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

    async def ping(self) -> None:
        """Return when the engine answers."""
        await self._call("GET", "/_ping", seconds=_PING_SECONDS)

    async def close(self) -> None:
        """Let go of the socket."""
        await self._http.aclose()

    async def _read(self, path: str) -> Mapping[str, Any]:
        answer = await self._call("GET", path, but=(_GONE,))
        found: Mapping[str, Any] = {} if answer.status_code == _GONE else answer.json()
        return found

    async def _call(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        but: Sequence[int] = (),
        seconds: float = _CALL_SECONDS,
    ) -> httpx.Response:
        with _explained():
            response = await self._http.request(method, path, json=body, timeout=seconds)
        if response.is_error and response.status_code not in but:
            raise _refusal(response)
        return response


def _refusal(response: httpx.Response) -> EngineError:
    try:
        said = response.json()["message"]
    except (ValueError, KeyError, TypeError):
        said = response.text
    return EngineError(f"the engine refused: {said}")


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except httpx.TimeoutException as error:
        raise EngineError("the engine has not answered in time") from error
    except (httpx.HTTPError, httpcore.NetworkError, OSError) as error:
        raise EngineError(f"the engine can't be reached: {error or type(error).__name__}") from error
