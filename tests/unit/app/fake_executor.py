"""A fake executor: the executor's protocol on a real Unix socket, with the answers that a test sets."""

import contextlib
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp
from starlette.websockets import WebSocket, WebSocketDisconnect

from app import environments
from app.wire.problems import Code, Problem

RESULT: dict[str, Any] = {
    "execution_id": "0" * 32,
    "status": "error",
    "output": "boom",
    "stdout": "",
    "stderr": "boom",
    "error": "The code ended with exit code 1.",
    "exit_code": 1,
    "signal": None,
    "truncated": False,
    "execution_time": 0.2,
    "cpu_time": 0.1,
    "memory_peak": 9_000_000,
    "files": [],
    "warnings": [],
    "environment": "python",
}
STARTED = {"type": "started", "execution_id": "0" * 32, "environment": "python"}
ENVIRONMENTS = [
    {
        "name": name,
        "language": it.language,
        "version": version,
        "end_of_life": it.release.end_of_life.isoformat(),
        "packages": [],
        "main": it.main,
        "example": it.hello,
        "aliases": list(it.aliases),
    }
    for name, version in (("python", "3.13.5"), ("node", "24.22.3"), ("typescript", "24.22.3"))
    if (it := environments.described(name))
]

Answer = Callable[[Request], Awaitable[Response]]
Conversation = Callable[[WebSocket], Awaitable[None]]


@dataclass(frozen=True)
class Seen:
    """A request that reached the executor."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def fields(self) -> dict[str, Any]:
        """The body's JSON."""
        found: dict[str, Any] = json.loads(self.body)
        return found


def says(body: object, status: int = 200) -> Answer:
    """Answers with this JSON."""

    async def answer(_: Request) -> Response:
        return JSONResponse(body, status)

    return answer


def refuses(code: Code, retry_after: int | None = None) -> Answer:
    """Answers with a problem."""
    problem = Problem(title="t", status=code.status, detail="because", code=code, retry_after=retry_after)
    return says(problem.model_dump(mode="json", exclude_none=True), code.status)


async def nothing(_: Request) -> Response:
    """An answer without a body."""
    return Response()


async def echo(websocket: WebSocket) -> None:
    """Writes stdin back as output until stdin ends."""
    heard = ""
    while (frame := json.loads(await websocket.receive_text()))["type"] != "stdin_end":
        heard += frame.get("data", f"<{frame['type']}>")
        await websocket.send_json(
            {"type": "output", "stream": "stdout", "data": frame.get("data", f"<{frame['type']}>")}
        )
    await websocket.send_json({"type": "result", **RESULT, "stdout": heard})


@dataclass
class FakeExecutor:
    """`answers` are by path; `conversation` follows `started` on a stream; `gone` is set when a client left it."""

    socket: Path
    answers: dict[str, Answer] = field(default_factory=dict)
    conversation: Conversation = echo
    seen: list[Seen] = field(default_factory=list)
    gone: threading.Event = field(default_factory=threading.Event)

    def reset(self) -> None:
        """Undo all changes of earlier tests."""
        self.answers = {
            "/health": says({"engine": "reachable", "active_sandboxes": 2}),
            "/environments": says(ENVIRONMENTS),
            "/stats": says({"running": 1, "waiting": 0, "concurrency": 4}),
            "/execute": says(RESULT),
            "/spans": nothing,
            "/metrics": says("executor_pool 3"),
        }
        self.conversation = echo
        self.seen = []
        self.gone = threading.Event()

    @property
    def ran(self) -> list[dict[str, Any]]:
        """The executions that were asked for."""
        return [seen.fields for seen in self.seen if seen.path in {"/execute", "/stream"}]

    async def answer(self, request: Request) -> Response:
        """Answer any request."""
        self.seen.append(Seen(request.url.path, dict(request.headers), await request.body()))
        return await self.answers[request.url.path](request)

    async def stream(self, websocket: WebSocket) -> None:
        """Serve any stream."""
        await websocket.accept()
        start = await websocket.receive_text()
        self.seen.append(Seen("/stream", dict(websocket.headers), start.encode()))
        try:
            await websocket.send_json(STARTED)
            await self.conversation(websocket)
            await websocket.close()
        except (WebSocketDisconnect, RuntimeError):
            # The second is what uvicorn raises between the client's close frame and the end of the connection.
            self.gone.set()

    @property
    def app(self) -> ASGIApp:
        """The application."""
        return Starlette(
            routes=[
                Route("/{path:path}", self.answer, methods=["GET", "POST"]),
                WebSocketRoute("/stream", self.stream),
            ]
        )


@contextlib.contextmanager
def serving(app: ASGIApp, **options: Any) -> Iterator[uvicorn.Server]:
    """The application behind a real server, in a thread."""
    options = {"ws": "websockets-sansio", **options}
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1, **options))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server could not start"
            thread.join(0.005)
        yield server
    finally:
        server.should_exit = True
        thread.join(10)
