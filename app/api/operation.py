"""How one route of the public interface is described: for Starlette, which serves it, and for the OpenAPI document."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from app.wire.problems import Code, Refused

Model = type[BaseModel]


@dataclass(frozen=True)
class Body:
    """What an answer holds: text of `media_type`, and a model where it is JSON of a known shape."""

    description: str
    model: Model | None = None
    media_type: str = "application/json"


@dataclass(frozen=True)
class Frames:
    """The JSON text frames of a WebSocket: what the client may send, and what it is sent."""

    client: tuple[Model, ...]
    server: tuple[Model, ...]


@dataclass(frozen=True)
class Operation:
    """One route of the interface, and what is said of it. `rated` operations count against the rate limit.

    An operation with `frames` is a WebSocket: its endpoint takes one, and the document tells it as the GET that is
    upgraded.
    """

    method: Literal["GET", "POST"]
    path: str
    endpoint: Callable[[Request], Awaitable[Response]] | Callable[[WebSocket], Awaitable[None]]
    tag: str
    summary: str
    description: str = ""
    request: Model | None = None
    answers: Mapping[int, tuple[Body, ...]] = field(default_factory=dict)
    refusals: tuple[Code, ...] = ()
    rated: bool = False
    frames: Frames | None = None

    @property
    def routes(self) -> tuple[Route | WebSocketRoute, ...]:
        """Its routes in Starlette. A WebSocket has a second one, which refuses a GET that asks for no upgrade."""
        if self.frames is not None:
            return WebSocketRoute(self.path, self.endpoint), Route(self.path, _no_upgrade)
        return (Route(self.path, self.endpoint, methods=[self.method]),)


async def _no_upgrade(request: Request) -> Response:
    raise Refused(Code.UPGRADE_REQUIRED, f"{request.url.path} is a WebSocket: ask for an upgrade to it.")
