"""Calls of the API, each shown with its request and its answer."""

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from rich.console import Console
from rich.json import JSON
from rich.text import Text
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

Body = dict[str, Any]

TIMEOUT = 60.0
"""Seconds to wait for an answer: an execution takes up to 30, after up to as long in the queue."""


class Unexpected(Exception):
    """The API did not answer, or not as expected."""


class Client:
    """Makes calls and shows each one."""

    def __init__(self, url: str, console: Console, http: httpx.AsyncClient) -> None:
        self._url = url.rstrip("/")
        self._console = console
        self._http = http

    async def get(self, path: str) -> Body:
        """GET one of the API's documents."""
        self._show_request(f"GET {path}")
        (answer,) = self._show_answers(await self._http.get(self._url + path))
        return answer

    async def execute(self, request: Body, **headers: str) -> Body:
        """POST /execute: run to the end and answer once."""
        return await self.post("/execute", request, **headers)

    async def post(self, path: str, request: Body, **headers: str) -> Body:
        """POST to a path that gives one answer."""
        (answer,) = await self._post(path, request, headers)
        return answer

    async def packages(self, request: Body) -> Body:
        """POST /packages: the list of what is locked."""
        (answer,) = await self._post("/packages", request, {})
        return answer

    async def batch(self, request: Body) -> list[Body]:
        """POST /execute/batch: an answer for each input, or the refusal of them all."""
        return await self._post("/execute/batch", request, {})

    async def _post(self, path: str, request: Body, headers: Mapping[str, str]) -> list[Body]:
        """The answers, one on a line. A request that came too soon is sent once more when the API says."""
        answers = await self._send(path, request, headers)
        if answers[0].get("code") == "rate_limited":
            self._console.print(f"  once more in {answers[0]['retry_after']} s", style="dim")
            await asyncio.sleep(answers[0]["retry_after"])
            answers = await self._send(path, request, headers)
        return answers

    async def _send(self, path: str, request: Body, headers: Mapping[str, str]) -> list[Body]:
        self._show_request(
            "  ".join([f"POST {path}", *(f"{name}: {value}" for name, value in headers.items())]), request
        )
        return self._show_answers(await self._http.post(self._url + path, json=request, headers=headers))

    async def stream(self, request: Body, lines: AsyncIterator[str]) -> Body:
        """WS /execute/stream: show output as it arrives, send `lines` and Ctrl+C. Returns the last frame."""
        self._show_request("WS /execute/stream", {"type": "start", **request})
        async with connect(self._socket_url("/execute/stream"), open_timeout=TIMEOUT, proxy=None) as socket:
            await socket.send(json.dumps({"type": "start", **request}))
            typing = asyncio.create_task(_type(socket, lines))
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGINT, lambda: loop.create_task(_interrupt(socket)))
            try:
                return await self._show_frames(socket)
            finally:
                loop.remove_signal_handler(signal.SIGINT)
                typing.cancel()
                with contextlib.suppress(asyncio.CancelledError, WebSocketException):
                    await typing

    async def run_room(self, links: Body) -> Body:
        """WS /rooms/{id}/runs: run the files of a room by its link for editing. Returns the last frame."""
        path, request = f"/rooms/{links['id']}/runs", {"type": "run", "name": "Ada"}
        self._show_request(f"WS {path}", request)
        token = parse_qs(urlsplit(links["edit"]).fragment)["token"][0]
        protocols = [Subprotocol("vps-room"), Subprotocol(f"token.{token}")]
        url = self._socket_url(path)
        async with connect(url, subprotocols=protocols, open_timeout=TIMEOUT, proxy=None) as socket:
            await socket.send(json.dumps(request))
            self._show_json(json.loads(await socket.recv()))
            return await self._show_frames(socket)

    def _socket_url(self, path: str) -> str:
        address = urlsplit(self._url + path)
        return address._replace(scheme="wss" if address.scheme == "https" else "ws").geturl()

    async def _show_frames(self, socket: ClientConnection) -> Body:
        async for message in socket:
            frame: Body = json.loads(message)
            if frame["type"] == "output":
                self._console.print(printable(frame["data"], frame["stream"]), end="")
            elif frame["type"] == "started":
                self._console.print(f"  started {frame['execution_id']}", style="dim")
            else:
                self._show_json(frame)
                return frame
        raise Unexpected("the socket closed before the execution ended")

    def _show_request(self, line: str, body: Body | None = None) -> None:
        self._console.print(Text(f"→ {line}", style="bold cyan"))
        if body is not None:
            self._show_json(body)

    def _show_answers(self, response: httpx.Response) -> list[Body]:
        style = "bold green" if response.is_success else "bold red"
        took = response.elapsed.total_seconds() * 1000
        self._console.print(Text(f"← {response.status_code} {response.reason_phrase}, {took:.0f} ms", style=style))
        try:
            answers: list[Body] = [json.loads(line) for line in response.content.rstrip(b"\n").split(b"\n")]
        except ValueError as error:
            raise Unexpected(f"the answer is not JSON but {response.text[:200]!r}; is this the API's URL?") from error
        for answer in answers:
            self._show_json(answer)
        return answers

    def _show_json(self, body: Body) -> None:
        self._console.print(JSON.from_data(body, ensure_ascii=True))


async def _type(socket: ClientConnection, lines: AsyncIterator[str]) -> None:
    """Send lines as they come, and the end of input after the last."""
    async for line in lines:
        await socket.send(json.dumps({"type": "stdin", "data": line}))
    await socket.send(json.dumps({"type": "stdin_end"}))


async def _interrupt(socket: ClientConnection) -> None:
    await socket.send(json.dumps({"type": "signal", "signal": "SIGINT"}))


def printable(text: str, stream: str) -> Text:
    """Output for this terminal. Control characters, which could change the terminal, are shown as escapes."""
    shown = "".join(letter if letter.isprintable() or letter in "\n\t" else f"\\x{ord(letter):02x}" for letter in text)
    return Text(shown, style="red" if stream == "stderr" else "")
