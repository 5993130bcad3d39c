"""Rooms: several members edit and run the same files, in front of a fake executor."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import InvalidStatus

from tests.unit.app.api_process import running
from tests.unit.app.fake_executor import RESULT, FakeExecutor
from tests.unit.app.fake_visitor import api, listening
from tests.unit.app.room_member import USER, Member, RoomLinks, frames, made, opened
from tests.unit.app.test_api import problem

pytestmark = pytest.mark.anyio


@contextmanager
def rooms(executor: FakeExecutor, folder: Path, **options: int) -> Iterator[str]:
    """An api with rooms: its host and port."""
    with listening(executor, ROOMS=json.dumps(options), ROOMS_FOLDER=str(folder)) as found:
        yield found


@pytest.fixture
def address(executor: FakeExecutor, tmp_path: Path) -> Iterator[str]:
    with rooms(executor, tmp_path) as found:
        yield found


async def test_links_lead_to_the_page_and_their_tokens_are_stored_as_hashes(address: str, tmp_path: Path) -> None:
    async with httpx.AsyncClient() as client:
        answer = (await client.post(f"http://{address}/rooms", json={"environment": "py"})).json()
    room = RoomLinks.of(answer)
    assert answer["edit"] == f"http://{address}/#room={room.id}&token={room.edit}"
    assert answer["view"] == f"http://{address}/#room={room.id}&token={room.view}"
    stored = await asyncio.to_thread(_bytes, tmp_path)
    assert room.id.encode() in stored
    assert room.edit.encode() not in stored and room.view.encode() not in stored


async def test_a_room_begins_with_the_first_program_or_with_the_files_that_are_given(address: str) -> None:
    async with Member().connected(address, *_edit(await made(address))) as member:
        await member.sees(lambda it: 'print("Hello, World!")' in it.files.get("main.py", ""))
    given = [{"name": "a.py", "content": "1"}, {"name": "b/c.txt", "content": "é😀"}]
    async with Member().connected(address, *_edit(await made(address, files=given))) as member:
        await member.sees(lambda it: it.files == {"a.py": "1", "b/c.txt": "é😀"})


async def test_what_one_member_edits_all_see(address: str) -> None:
    room = await made(address, files=[{"name": "main.py", "content": "b"}])
    async with (
        Member().connected(address, *_edit(room)) as one,
        Member().connected(address, *_edit(room)) as other,
        Member().connected(address, room.id, room.view) as viewer,
    ):
        await one.sees(lambda it: it.files == {"main.py": "b"})
        await other.sees(lambda it: it.files == {"main.py": "b"})
        one.text().insert(0, "a")
        other.text().insert(1, "c")
        other.add("data.csv", "1,2")
        for member in (one, other, viewer):
            await member.sees(lambda it: it.files == {"main.py": "abc", "data.csv": "1,2"})


async def test_names_and_cursors_come_and_go_with_their_members(address: str) -> None:
    room = await made(address)
    async with Member().connected(address, *_edit(room)) as one:
        await one.tell({"user": USER, "cursor": None}, editor=7)
        async with Member().connected(address, room.id, room.view) as other:
            await other.sees(lambda it: it.present() == {7: {"user": USER, "cursor": None}})
            await other.tell({"user": {**USER, "name": "Bob"}}, editor=8)
            await one.sees(lambda it: set(it.present()) == {7, 8})
        await one.sees(lambda it: set(it.present()) == {7})


@pytest.mark.parametrize(
    "state",
    [
        {"user": {**USER, "color": "red;background:url(//evil)"}},
        {"user": {**USER, "name": "x" * 41}},
        {"user": USER, "more": 1},
        {"cursor": "x" * 2000},
        ["user"],
    ],
)
async def test_a_state_that_no_page_of_ours_has_is_told_to_nobody(address: str, state: object) -> None:
    room = await made(address)
    async with Member().connected(address, *_edit(room)) as one, Member().connected(address, *_edit(room)) as other:
        await one.tell(state, editor=7)
        await one.tell({"user": USER}, editor=9)  # not its own
        await one.tell({"user": USER}, editor=7, clock=2)
        await other.sees(lambda it: it.present() == {7: {"user": USER}})


async def test_a_run_is_told_to_all_members_and_who_ran_it(executor: FakeExecutor, address: str) -> None:
    room = await made(address, files=[{"name": "lib.py", "content": "x = 1"}, {"name": "main.py", "content": "2"}])
    async with opened(address, *_edit(room), "runs") as one, opened(address, room.id, room.view, "runs") as viewer:
        await one.send(json.dumps({"type": "run", "name": "Ada", "interactive": True}))
        first = [json.loads(await viewer.recv()) for _ in range(2)]
        await one.send(json.dumps({"type": "stdin", "data": "hi", "name": "Ada"}))
        await one.send(json.dumps({"type": "stdin_end"}))
        seen = [*first, *await frames(viewer)]
        assert seen == await frames(one)
    assert [it["type"] for it in seen] == ["run", "started", "stdin", "output", "result"]
    assert seen[0] == {"type": "run", "name": "Ada", "environment": "python", "packages": [], "main": "main.py"}
    assert seen[2] == {"type": "stdin", "data": "hi", "name": "Ada"} and seen[3]["data"] == "hi"
    (ran,) = executor.ran
    assert (ran["main"], ran["results"]) == ("main.py", ["*"])
    assert {it["name"]: it["content"] for it in ran["files"]} == {"lib.py": "x = 1", "main.py": "2"}


async def test_whoever_comes_later_gets_the_run_with_the_first_10_kb_of_its_output(
    executor: FakeExecutor, address: str
) -> None:
    async def talk(websocket: Any) -> None:
        for _ in range(30):
            await websocket.send_json({"type": "output", "stream": "stdout", "data": "é" * 500})
        await websocket.send_json({"type": "result", **RESULT, "stdout": "x" * 30_000})

    executor.conversation = talk
    room = await made(address, stdin="in")
    async with opened(address, *_edit(room), "runs") as one:
        await one.send('{"type": "run"}')
        assert len(await frames(one)) == 33
        async with opened(address, room.id, room.view, "runs") as later:
            seen = await frames(later)
    assert [it["type"] for it in seen] == ["run", "started", "output", "result"]
    assert seen[2]["data"] == "é" * 5120
    assert (seen[3]["stdout"], seen[3]["files"], seen[3]["status"]) == ("", [], "error")
    assert executor.ran[0]["stdin"] == "in"


async def test_a_second_run_at_once_and_a_wrong_frame_are_refused_for_their_sender_alone(address: str) -> None:
    room = await made(address)
    async with opened(address, *_edit(room), "runs") as one, opened(address, *_edit(room), "runs") as other:
        await one.send('{"type": "run", "interactive": true}')
        assert [it["type"] for it in await frames(other, "started")] == ["run", "started"]
        for frame, code in (('{"type": "run"}', "room_busy"), ('{"type": "x"}', "invalid_request")):
            await other.send(frame)
            refused = json.loads(await other.recv())
            assert (refused["type"], refused["code"], refused["yours"]) == ("problem", code, True)
        await other.send('{"type": "stdin_end"}')
        assert [it["type"] for it in await frames(one)] == ["run", "started", "result"]


async def test_runs_count_against_the_rate_of_whoever_ran_them(executor: FakeExecutor, tmp_path: Path) -> None:
    with listening(executor, ROOMS="{}", ROOMS_FOLDER=str(tmp_path), REQUESTS_PER_MINUTE="2") as address:
        room = await made(address)
        async with opened(address, *_edit(room), "runs") as one:
            await one.send('{"type": "run"}')
            await frames(one)
            await one.send('{"type": "run"}')
            refused = json.loads(await one.recv())
    assert refused["code"] == "rate_limited" and refused["yours"] is True


async def test_what_is_typed_while_offline_is_there_once(executor: FakeExecutor, tmp_path: Path) -> None:
    """Also when the api was replaced meanwhile, and when two have edited."""
    one, other = Member(), Member()
    with rooms(executor, tmp_path) as address:
        room = await made(address, files=[{"name": "main.py", "content": "-"}])
        async with one.connected(address, *_edit(room)), other.connected(address, *_edit(room)):
            await one.sees(lambda it: it.files == {"main.py": "-"})
            await other.sees(lambda it: it.files == {"main.py": "-"})
            one.text().insert(0, "kept")
            await other.sees(lambda it: it.files == {"main.py": "kept-"})
    one.text().insert(0, "one ")
    other.text().insert(5, " other")
    other.text().__delitem__(slice(0, 4))
    with rooms(executor, tmp_path) as address:
        async with one.connected(address, *_edit(room)), other.connected(address, *_edit(room)):
            for member in (one, other):
                await member.sees(lambda it: it.files == {"main.py": "one - other"})
        async with Member().connected(address, *_edit(room)) as third:
            await third.sees(lambda it: it.files == {"main.py": "one - other"})


async def test_what_was_typed_before_the_window_closed_is_kept(executor: FakeExecutor, tmp_path: Path) -> None:
    """The server still reads it, at its pace, when it can send that window nothing more."""
    typed = [letter * 400 for letter in "abcdef"]
    with rooms(executor, tmp_path, message_kb=1, kb_per_second=1) as address:
        room = await made(address)
        async with Member().connected(address, *_edit(room)) as other:
            await other.sees(lambda it: bool(it.files))
            async with Member().connected(address, *_edit(room)) as leaving:
                await leaving.sees(lambda it: bool(it.files))
                for text in typed:
                    leaving.text().insert(0, text)
            for _ in range(20):
                other.text().insert(0, ".")
                await asyncio.sleep(0.05)
            await other.sees(lambda it: all(text in it.files["main.py"] for text in typed))


async def test_the_end_of_the_server_closes_with_a_code_after_which_clients_come_back(
    executor: FakeExecutor, tmp_path: Path
) -> None:
    settings = {"API_ROOMS": "{}", "API_ROOMS_FOLDER": str(tmp_path), "API_GRACE_SECONDS": "120"}
    member = Member()
    with running(executor, **settings) as server:
        address = f"127.0.0.1:{server.port}"
        room = await made(address)
        async with member.connected(address, *_edit(room)), opened(address, *_edit(room), "runs") as runs:
            await member.sees(lambda it: bool(it.files))
            server.process.terminate()
            assert (await member.is_closed())[0] == 1012
            await runs.wait_closed()
            assert runs.close_code == 1012
        await asyncio.to_thread(server.process.wait, 60)


async def test_what_others_have_seen_outlives_the_death_of_the_process(executor: FakeExecutor, tmp_path: Path) -> None:
    settings = {"API_ROOMS": "{}", "API_ROOMS_FOLDER": str(tmp_path)}
    one, other = Member(), Member()
    with running(executor, **settings) as server:
        address = f"127.0.0.1:{server.port}"
        room = await made(address, files=[{"name": "main.py", "content": "-"}])
        async with one.connected(address, *_edit(room)), other.connected(address, *_edit(room)):
            await one.sees(lambda it: bool(it.files))
            one.text().insert(0, "kept")
            await other.sees(lambda it: it.files == {"main.py": "kept-"})
            server.process.kill()
    with rooms(executor, tmp_path) as address:
        async with Member().connected(address, *_edit(room)) as third:
            await third.sees(lambda it: it.files == {"main.py": "kept-"})


async def test_rooms_are_off_by_default(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        answer = await client.post("/rooms", json={"environment": "python"})
        assert (await client.get("/environments")).json()["rooms"] is False
    assert problem(answer).code == "not_found"
    with listening(executor) as address, pytest.raises(InvalidStatus) as refused:
        async with opened(address, "0" * 16, "x"):
            pass
    assert refused.value.response.status_code == 404


async def test_where_another_unit_has_the_rooms_they_are_told_of_and_refused(executor: FakeExecutor) -> None:
    with listening(executor, ROOMS="{}") as address:
        async with httpx.AsyncClient(base_url=f"http://{address}") as client:
            assert (await client.get("/environments")).json()["rooms"] is True
            answer = await client.post("/rooms", json={"environment": "python"})
        assert (answer.status_code, problem(answer).code) == (404, "not_found")
        assert "the one that has them" in problem(answer).detail
        for kind in ("sync", "runs"):
            with pytest.raises(InvalidStatus) as refused:
                async with opened(address, "0" * 16, "x", kind):
                    pass
            assert refused.value.response.status_code == 404
            assert b"the one that has them" in (refused.value.response.body or b"")


def _bytes(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.iterdir())


def _edit(room: RoomLinks) -> tuple[str, str]:
    return room.id, room.edit
