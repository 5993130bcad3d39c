"""What strangers send to rooms: forged edits of viewers, updates that break pycrdt, floods, and more than there is room
for."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pycrdt import Array, Doc, Map, Text, XmlElement, XmlFragment
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from app.api.rooms.document import Document, OutOfStep, first_update
from app.api.rooms.store import Store
from app.api.rooms.updates import Unacceptable, number, read, sized
from app.wire.problems import Code, Refused
from tests.unit.app.fake_executor import FakeExecutor
from tests.unit.app.room_member import Member, made, opened
from tests.unit.app.test_api_rooms import rooms

pytestmark = pytest.mark.anyio

SYNC, STEP_2, UPDATE = 0, 1, 2
WAIT_SECONDS = 20


@pytest.fixture
def address(executor: FakeExecutor, tmp_path: Path) -> Iterator[str]:
    with rooms(executor, tmp_path) as found:
        yield found


def piece(content: bytes, root: str = "files", key: str = "k", kind: int = 8) -> bytes:
    """An update with one piece of this content, as the value of a key."""
    return _update(bytes([kind | 0x20, 1]) + sized(root.encode()) + sized(key.encode()) + content)


def _update(pieces: bytes, count: int = 1, at: int = 0) -> bytes:
    return number(1) + number(count) + number(5) + number(at) + pieces + number(0)


def _by_pycrdt(**roots: Any) -> bytes:
    doc: Doc[Any] = Doc()
    for name, root in roots.items():
        doc[name] = root
    return doc.get_update()


HOSTILE = {
    "nested_arrays_that_overflow_the_stack": piece(number(1) + b"\x75\x01" * 60_000 + b"\x7e"),
    "nested_maps_that_overflow_the_stack": piece(number(1) + b"\x76\x01\x01a" * 25_000 + b"\x7e"),
    "more_elements_than_there_are_bytes": piece(number(1) + b"\x75" + number(2**31 - 1)),
    "another_root": _by_pycrdt(more=Text("x")),
    "an_array": _by_pycrdt(more=Array([1])),
    "a_page": _by_pycrdt(more=XmlFragment([XmlElement("p")])),
    "a_text_in_the_settings": _by_pycrdt(room=Map({"a": Text("x")})),
    "a_string_for_a_file": _by_pycrdt(files=Map({"a": "x"})),
    "a_number_in_the_settings": _by_pycrdt(room=Map({"a": 1})),
    "a_long_value": _by_pycrdt(room=Map({"a": "x" * 65})),
    "a_map_in_a_map": _by_pycrdt(files=Map({"a": Map({})})),
    "a_subdocument": _by_pycrdt(files=Map({"a": Doc()})),
    "an_embedded_object": piece(sized(b"{}"), kind=5),
    "a_format": piece(sized(b"bold") + sized(b"true"), kind=6),
    "a_file_without_a_name": _update(bytes([7, 1]) + sized(b"files") + number(2)),
    "a_name_for_the_input": _update(bytes([4 | 0x20, 1]) + sized(b"stdin") + sized(b"k") + sized(b"x")),
    "an_empty_text": _update(bytes([4, 1]) + sized(b"stdin") + sized(b"")),
    "garbage_of_no_length": _update(bytes([0]) + number(0)),
    "a_position_beyond_32_bits": _update(bytes([0]) + number(2**31 - 1), at=2**31 - 1),
    "a_number_without_an_end": b"\xff" * 100,
    "text_that_is_not_utf_8": _update(bytes([4, 1]) + sized(b"stdin") + sized(b"\xff\xfe")),
    "a_client_twice": number(2) + (number(1) + number(5) + number(0) + bytes([0]) + number(1)) * 2 + number(0),
    "more_behind_the_end": _by_pycrdt(stdin=Text("x")) + b"\x00",
    "nothing": b"",
}


@pytest.mark.parametrize("update", HOSTILE.values(), ids=HOSTILE)
async def test_an_update_that_no_editor_makes_ends_its_connection_and_changes_nothing(
    address: str, update: bytes
) -> None:
    room = await made(address, files=[{"name": "main.py", "content": "1"}])
    async with Member().connected(address, room.id, room.edit) as other:
        async with opened(address, room.id, room.edit) as forger:
            await forger.send(bytes([SYNC, UPDATE]) + sized(update))
            assert await _closed(forger) == (4422, "invalid_request")
        await other.sees(lambda it: it.files == {"main.py": "1"})
        assert other.closed is None
    async with Member().connected(address, room.id, room.edit) as later:
        await later.sees(lambda it: it.files == {"main.py": "1"})


@pytest.mark.parametrize(
    "message",
    [b"", b"\x02\x00", b"\x04", b"\x00\x07\x00", b"\x00\x02\xff", b"\x01\x01\x05", b"\x00\x00\x05\xff\xff\xff\xff\xff"],
)
async def test_a_message_of_no_protocol_ends_its_connection(address: str, message: bytes) -> None:
    room = await made(address)
    async with opened(address, room.id, room.edit) as forger:
        await forger.send(message)
        assert await _closed(forger) == (4422, "invalid_request")


async def test_text_to_the_editor_and_bytes_to_the_runs_are_refused(address: str) -> None:
    room = await made(address)
    for kind, message in (("sync", "text"), ("runs", b"bytes")):
        async with opened(address, room.id, room.edit, kind) as forger:
            await forger.send(message)
            assert await _closed(forger) == (4422, "invalid_request")


@pytest.mark.parametrize("step", [STEP_2, UPDATE])
async def test_a_viewer_who_forges_an_edit_is_cut_off_and_nothing_changes(address: str, step: int) -> None:
    room = await made(address, files=[{"name": "main.py", "content": "1"}])
    async with Member().connected(address, room.id, room.view) as viewer:
        await viewer.sees(lambda it: it.files == {"main.py": "1"})
        state = viewer.doc.get_state()
        viewer.text().insert(0, "forged ")  # an editor's own client, with the token of a viewer
        if viewer.connection:
            await viewer.connection.send(bytes([SYNC, step]) + sized(viewer.doc.get_update(state)))
        assert await viewer.is_closed() == (4403, "room_read_only")
    async with Member().connected(address, room.id, room.edit) as editor:
        await editor.sees(lambda it: it.files == {"main.py": "1"})


@pytest.mark.parametrize("frame", ['{"type": "run"}', '{"type": "cancel"}', '{"type": "stdin", "data": "x"}'])
async def test_a_viewer_runs_nothing_and_ends_nothing(executor: FakeExecutor, address: str, frame: str) -> None:
    room = await made(address)
    async with opened(address, room.id, room.view, "runs") as viewer:
        await viewer.send(frame)
        assert await _closed(viewer) == (4403, "room_read_only")
    assert executor.ran == []


async def test_a_wrong_token_and_a_room_that_is_not_there_are_the_same(address: str) -> None:
    room = await made(address)
    other = await made(address)
    for id, token in ((room.id, other.edit), (room.id, ""), ("0" * 16, room.edit), ("%27%20OR%201", room.edit)):
        for kind in ("sync", "runs"):
            async with opened(address, id, token, kind) as forger:
                assert await _closed(forger) == (4404, "room_not_found")


async def test_pages_of_other_sites_are_refused(address: str) -> None:
    room = await made(address)
    async with opened(address, room.id, room.edit, Origin="https://evil.example") as forger:
        assert await _closed(forger) == (4403, "origin_not_allowed")
    async with opened(address, room.id, room.edit, Origin=f"http://{address}") as page:
        assert isinstance(await page.recv(), bytes)


async def test_a_document_stops_growing_and_text_can_still_be_removed(executor: FakeExecutor, tmp_path: Path) -> None:
    with rooms(executor, tmp_path, document_kb=8, message_kb=8) as address:
        room = await made(address, files=[{"name": "main.py", "content": "x" * 4000}])
        async with Member().connected(address, room.id, room.edit) as one:
            await one.sees(lambda it: bool(it.files))
            one.text().insert(0, "y" * 6000)
            assert await one.is_closed() == (4413, "room_full")
        async with Member().connected(address, room.id, room.edit) as other:
            await other.sees(lambda it: it.files == {"main.py": "x" * 4000})
            other.text().__delitem__(slice(0, 3990))
            other.text().insert(0, "y" * 6000)
            await other.sees(lambda it: len(it.files["main.py"]) == 6010)
        async with Member().connected(address, room.id, room.view) as viewer:
            await viewer.sees(lambda it: it.files == {"main.py": "y" * 6000 + "x" * 10})


async def test_a_message_is_not_longer_than_the_setting(executor: FakeExecutor, tmp_path: Path) -> None:
    with rooms(executor, tmp_path, message_kb=1) as address:
        room = await made(address)
        for kind, message in (("sync", b"\x00" * 1025), ("runs", "x" * 1025)):
            async with opened(address, room.id, room.edit, kind) as forger:
                await forger.send(message)
                assert await _closed(forger) == (4413, "body_too_long")


@pytest.mark.parametrize("option", ["members", "members_of_all", "members_of_client"])
async def test_there_are_only_so_many_places(executor: FakeExecutor, tmp_path: Path, option: str) -> None:
    with rooms(executor, tmp_path, **{option: 1}) as address:
        room = await made(address)
        async with Member().connected(address, room.id, room.edit), opened(address, room.id, room.edit) as second:
            assert await _closed(second) == (4429, "room_members")
        async with asyncio.timeout(WAIT_SECONDS):
            while True:  # until the server has noticed that the first member left
                with contextlib.suppress(ConnectionClosed):
                    async with opened(address, room.id, room.edit) as again:
                        await again.recv()
                        break


@pytest.mark.parametrize("option", ["rooms", "rooms_of_client"])
async def test_there_are_only_so_many_rooms(executor: FakeExecutor, tmp_path: Path, option: str) -> None:
    with rooms(executor, tmp_path, **{option: 2}) as address:
        await made(address)
        await made(address)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"http://{address}/rooms", json={"environment": "python"})
    assert (answer.status_code, answer.json()["code"]) == (429, Code.ROOM_LIMIT)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"environment": "cobol"}, "unknown_environment"),
        ({"environment": "python", "files": [{"name": "../a", "content": ""}]}, "invalid_request"),
        ({"environment": "python", "files": [{"name": "a", "content": "1"}] * 2}, "invalid_request"),
        (
            {"environment": "python", "files": [{"name": "a", "content": "/w==", "encoding": "base64"}]},
            "invalid_request",
        ),
        ({"environment": "python", "stdin": "x" * 200_000}, "room_full"),
        ({"environment": "python", "more": 1}, "invalid_request"),
    ],
)
async def test_a_room_that_cannot_be_is_refused(address: str, given: dict[str, object], code: str) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"http://{address}/rooms", json=given)
    assert answer.json()["code"] == code


async def test_a_member_that_floods_waits_and_others_are_served(executor: FakeExecutor, tmp_path: Path) -> None:
    with rooms(executor, tmp_path, messages_per_second=1000) as address:
        room = await made(address, stdin="x" * 10_000)
        async with opened(address, room.id, room.edit) as flooder:
            for _ in range(2000):
                await flooder.send(b"\x00\x00\x01\x00")  # asks for all of the document
            async with Member().connected(address, room.id, room.edit) as other:
                await other.sees(lambda it: bool(it.files))
            flooder.transport.abort()


async def test_idle_rooms_go_and_those_that_somebody_is_in_stay(tmp_path: Path) -> None:
    now = 1_000_000.0
    store = Store(tmp_path, clock=lambda: now)
    content = first_update({"main.py": "1"}, "", "python")
    idle, visited, open_now = (store.make("a", content, 10, 10) for _ in range(3))
    now += 3000
    store.visit([visited.id])
    now += 3000
    store.remove_idle(3600, [open_now.id])
    assert len(store) == 2
    assert store.may_edit(idle.id, idle.edit) is None and store.updates(idle.id) == []
    assert store.may_edit(visited.id, visited.edit) is True and store.may_edit(open_now.id, open_now.view) is False


async def test_two_processes_on_one_file_lose_nothing(tmp_path: Path) -> None:
    """As while an api is replaced: the former one still has members."""
    former, next_one = Store(tmp_path), Store(tmp_path)
    room = former.make("a", first_update({"main.py": "-"}, "", "python"), 10, 10).id
    documents = [Document(store, room, 8192) for store in (former, next_one)]
    for document in documents:
        await document.load()
    editors = [_editor(document) for document in documents]
    for round in range(600):  # beyond the number after which updates are merged
        editor, document = editors[round % 2], documents[round % 2]
        state = editor.get_state()
        text: Text = editor.get("files", type=Map)["main.py"]
        text.insert(len(str(text)), "ab"[round % 2])
        await _add(document, editor.get_update(state))
    whole = Document(Store(tmp_path), room, 8192)
    await whole.load()
    (content,) = whole.files().values()
    assert sorted(content) == sorted("-" + "ab" * 300)


async def test_a_store_that_cannot_be_written_is_told_and_nothing_is_half_there(
    executor: FakeExecutor, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    room = store.make("a", first_update({"main.py": "-"}, "", "python"), 10, 10).id
    document = Document(store, room, 8192)
    await document.load()
    editor = _editor(document)
    state = editor.get_state()
    editor.get("files", type=Map)["main.py"].insert(0, "x")
    blocker = Store(tmp_path)
    with blocker._writing(), pytest.raises(Refused) as refused:
        await _add(document, editor.get_update(state))
    assert refused.value.problem.code == Code.ROOMS_UNAVAILABLE
    assert document.files() == {"main.py": "-"}
    assert await _add(document, editor.get_update(state))
    assert document.files() == {"main.py": "x-"}


async def test_random_updates_break_nothing_but_their_room(tmp_path: Path) -> None:
    generator = random.Random(13)  # noqa: S311 - a test's
    store = Store(tmp_path)
    content = first_update({"main.py": "hello"}, "in", "python")
    for _ in range(300):
        room = store.make("a", content, 10_000, 10_000).id
        document = Document(store, room, 8192)
        await document.load()
        for _ in range(10):
            update = bytearray(content)
            for _ in range(generator.randint(1, 4)):
                update[generator.randrange(len(update))] = generator.randrange(256)
            try:
                await _add(document, bytes(update))
                document.files()
                document.since(b"\x00")
            except (Unacceptable, OutOfStep, Refused):
                pass


async def _add(document: Document, update: bytes) -> list[bytes]:
    return await document.add(update, await read(update))


def _editor(document: Document) -> "Doc[Map]":  # type: ignore[type-arg]
    found: Doc[Map] = Doc()  # type: ignore[type-arg]
    found.apply_update(document.since(b"\x00"))
    return found


async def _closed(connection: ClientConnection) -> tuple[int | None, str | None]:
    async with asyncio.timeout(WAIT_SECONDS):
        await connection.wait_closed()
    return connection.close_code, connection.close_reason
