"""Members of a room: a document of pycrdt behind a WebSocket, as an editor in a page has one of Yjs."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from pycrdt import Doc, Map, Text, TransactionEvent, create_sync_message, create_update_message, handle_sync_message
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from app.api.rooms.updates import Data, number, sized

SECONDS = 20
"""How long a test waits for what another member did."""
USER = {"name": "Ada", "color": "#30bced", "colorLight": "#30bced33"}


@dataclass(frozen=True)
class RoomLinks:
    """A room's id and tokens, from the answer to POST /rooms."""

    id: str
    edit: str
    view: str

    @classmethod
    def of(cls, answer: Mapping[str, str]) -> "RoomLinks":
        tokens = {kind: parse_qs(urlsplit(answer[kind]).fragment)["token"][0] for kind in ("edit", "view")}
        return cls(answer["id"], **tokens)


async def made(address: str, **given: Any) -> RoomLinks:
    """A new room of Python at the api with this host and port."""
    async with httpx.AsyncClient(trust_env=False) as client:
        answer = await client.post(f"http://{address}/rooms", json={"environment": "python", **given})
    assert answer.status_code == 201, answer.text
    return RoomLinks.of(answer.json())


def opened(address: str, room: str, token: str, kind: str = "sync", **headers: str) -> connect:
    """A WebSocket of a room."""
    return connect(
        f"ws://{address}/rooms/{room}/{kind}",
        subprotocols=[Subprotocol("vps-room"), Subprotocol(f"token.{token}")],
        additional_headers=headers,
        max_size=None,
        proxy=None,
    )


@dataclass
class Member:
    """An editor. `doc` may outlive the connection, as that of a page that is offline does."""

    doc: "Doc[Any]" = field(default_factory=Doc)
    connection: ClientConnection | None = None
    heard: list[bytes] = field(default_factory=list)
    """Messages of awareness."""
    updates: list[bytes] = field(default_factory=list)
    closed: tuple[int, str] | None = None

    @property
    def files(self) -> dict[str, str]:
        return {name: str(text) for name, text in self._files.items()}

    @property
    def _files(self) -> "Map[Text]":
        found: Map[Text] = self.doc.get("files", type=Map)
        return found

    def text(self, name: str = "main.py") -> Text:
        """A file."""
        return self._files[name]

    def add(self, name: str, content: str = "") -> None:
        """A new file."""
        self._files[name] = Text(content)

    @contextlib.asynccontextmanager
    async def connected(self, address: str, room: str, token: str) -> AsyncIterator["Member"]:
        """Both ways, until the block ends."""
        self.closed = None
        async with opened(address, room, token) as connection:
            assert connection.subprotocol == "vps-room"
            self.connection = connection
            listening = asyncio.create_task(self._listen(connection))
            sent = self.doc.observe(self._changed)
            await connection.send(create_sync_message(self.doc))
            try:
                yield self
            finally:
                self.doc.unobserve(sent)
                # What was sent must have arrived: a page that is closed has the same time.
                with contextlib.suppress(ConnectionClosed):
                    await (await connection.ping())
                listening.cancel()
                self.connection = None

    async def sees(self, what: Callable[["Member"], bool]) -> None:
        """Wait until this is so."""
        async with asyncio.timeout(SECONDS):
            while not what(self):  # noqa: ASYNC110 - documents have no event for it
                await asyncio.sleep(0.01)

    async def is_closed(self) -> tuple[int, str]:
        """Wait until the server closes the connection: the code and the reason."""
        await self.sees(lambda member: member.closed is not None)
        assert self.closed
        return self.closed

    async def tell(self, state: object, editor: int = 7, clock: int = 1) -> None:
        """Send a state of awareness."""
        assert self.connection
        entry = number(editor) + number(clock) + sized(json.dumps(state).encode())
        await self.connection.send(number(1) + sized(number(1) + entry))

    def present(self) -> dict[int, Any]:
        """Who is there, by what this member has heard."""
        found: dict[int, Any] = {}
        for message in self.heard:
            data = Data(message)
            for _ in range(data.number()):
                editor, _, state = data.number(2**53), data.number(), json.loads(data.sized())
                found[editor] = state
        return {editor: state for editor, state in found.items() if state is not None}

    def _changed(self, event: TransactionEvent) -> None:
        if self.connection and not self._applying:
            message = create_update_message(event.update)
            task = asyncio.ensure_future(self._send(self.connection, message))
            self._sending.add(task)
            task.add_done_callback(self._sending.discard)

    _applying = False
    _sending: "set[asyncio.Task[None]]" = field(default_factory=set)

    async def _send(self, connection: ClientConnection, message: bytes) -> None:
        with contextlib.suppress(ConnectionClosed):
            await connection.send(message)

    async def _listen(self, connection: ClientConnection) -> None:
        try:
            async for message in connection:
                assert isinstance(message, bytes)
                if message[0] == 1:
                    data = Data(message)
                    data.number()
                    self.heard.append(data.sized())
                    continue
                self._applying = True
                reply = handle_sync_message(message[1:], self.doc)
                self._applying = False
                self.updates.append(message)
                if reply is not None:
                    await connection.send(reply)
        except ConnectionClosed:
            pass
        self.closed = (connection.close_code or 0, connection.close_reason or "")


async def run(address: str, room: RoomLinks) -> list[dict[str, Any]]:
    """Run a room's files by its link for editing, and return the result as an editor and a viewer hear of it."""
    async with (
        opened(address, room.id, room.edit, "runs") as editor,
        opened(address, room.id, room.view, "runs") as viewer,
    ):
        await editor.send(json.dumps({"type": "run", "name": USER["name"]}))
        return [(await frames(it))[-1] for it in (editor, viewer)]


async def frames(connection: ClientConnection, until: str = "result") -> list[dict[str, Any]]:
    """Frames of a room's runs up to the first of this type."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(SECONDS):
        while not found or found[-1]["type"] != until:
            found.append(json.loads(await connection.recv()))
    return found
