"""The head of an answer leaves together with its body."""

import asyncio
from collections.abc import Iterable
from typing import Any

import pytest

from app.wire.joined_writes import JoinedWrites

pytestmark = pytest.mark.anyio


class Noting(asyncio.Transport):
    """A transport that notes what is done to it."""

    def __init__(self) -> None:
        super().__init__({"peername": "a client"})
        self.done: list[object] = []
        self.closed = False

    def write(self, data: Any) -> None:
        self.done.append(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.done.append(tuple(list_of_data))

    def write_eof(self) -> None:
        self.done.append("end")

    def close(self) -> None:
        self.done.append("closed")
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


async def test_two_writes_of_one_turn_are_one() -> None:
    transport = Noting()
    joined = JoinedWrites(transport)
    joined.write(b"head")
    assert transport.done == []
    joined.write(b"body")
    await asyncio.sleep(0)
    assert transport.done == [(b"head", b"body")]


async def test_a_write_alone_leaves_with_its_turn() -> None:
    transport = Noting()
    joined = JoinedWrites(transport)
    for data in (b"head", b"event", b"another"):
        joined.write(data)
        await asyncio.sleep(0)
    assert transport.done == [b"head", b"event", b"another"]


async def test_nothing_is_lost_at_the_end() -> None:
    transport = Noting()
    joined = JoinedWrites(transport)
    joined.write(b"last")
    joined.write_eof()
    joined.write(b"after it")
    joined.close()
    await asyncio.sleep(0)
    assert transport.done == [b"last", "end", b"after it", "closed"]


async def test_nothing_is_written_to_an_aborted_connection() -> None:
    transport = Noting()
    joined = JoinedWrites(transport)
    joined.write(b"late")
    joined.abort()
    await asyncio.sleep(0)
    assert transport.done == []
    assert joined.get_extra_info("peername") == "a client"
