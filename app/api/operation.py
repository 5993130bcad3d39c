"""The description of one route of the public interface, from which Starlette and the OpenAPI document are made."""

import inspect
from collections.abc import Awaitable, Callable, Mapping

from pydantic import BaseModel, ConfigDict, ImportString
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from app.wire.media import JSON
from app.wire.problems import Code, Refused

Model = ImportString[type[BaseModel]]
HttpEndpoint = Callable[[Request], Awaitable[Response]]
Endpoint = HttpEndpoint | Callable[[WebSocket], Awaitable[None]]


class Document(BaseModel):
    """A body or a frame of the public interface. A field's docstring is its description in the OpenAPI document."""

    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


def json_answer(
    document: BaseModel, status: int = 200, headers: Mapping[str, str] | None = None, *, exclude_none: bool = False
) -> Response:
    """The HTTP answer with this document. `exclude_none` leaves out what is null."""
    text = document.model_dump_json(exclude_none=exclude_none)
    return Response(text, status_code=status, media_type=JSON, headers=headers)


class _Described(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Body(_Described):
    """A body of an answer: text of `media_type`, with its model when it is JSON of a known shape."""

    description: str
    model: Model | None = None
    media_type: str = JSON


class Frames(_Described):
    """The JSON text frames of a WebSocket: those that the client sends, and those that the server sends."""

    client: tuple[Model, ...]
    server: tuple[Model, ...]


class Operation(_Described):
    """One route and its documentation. Requests of `rated` operations count against the client's rate limit, and
    an Idempotency-Key has an effect on those of `repeatable` ones.

    The docstrings of the classes in `explained_by` are its description. `answers` are by status. An operation with
    `frames` is a WebSocket: its endpoint takes a `WebSocket`, and the OpenAPI document describes the GET that is
    upgraded.
    """

    path: str
    tag: str
    summary: str
    explained_by: tuple[ImportString[type], ...] = ()
    answers: Mapping[int, tuple[Body, ...]]
    request: Model | None = None
    refusals: tuple[Code, ...] = ()
    rated: bool = False
    repeatable: bool = False
    frames: Frames | None = None

    @property
    def method(self) -> str:
        """POST when it takes a body, else GET."""
        return "GET" if self.request is None else "POST"

    @property
    def description(self) -> str:
        """Its description in the OpenAPI document: each paragraph is a line."""
        paragraphs = "\n\n".join(inspect.getdoc(it) or "" for it in self.explained_by).split("\n\n")
        return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)

    def routes(self, endpoint: Endpoint) -> tuple[Route | WebSocketRoute, ...]:
        """Its routes in Starlette. A WebSocket has a second one, which refuses a GET without an upgrade."""
        if self.frames is not None:
            return WebSocketRoute(self.path, endpoint), Route(self.path, _no_upgrade)
        return (Route(self.path, endpoint, methods=[self.method]),)


async def _no_upgrade(request: Request) -> Response:
    raise Refused(Code.UPGRADE_REQUIRED, f"{request.url.path} is a WebSocket: ask for an upgrade to it.")
