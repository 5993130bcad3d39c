"""Frames inside the engine's multiplexed stream, however the network cuts it."""

import asyncio

import pytest

from app.executor.attachment import Attachment, Multiplexed
from app.executor.transcript import Stream
from app.guest.frames import LONGEST, BadFrame, frame

pytestmark = pytest.mark.anyio


def piece(stream: Stream, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4) + payload


FRAMES = [(b"R", b""), (b"1", b"hello"), (b"2", b"x" * 300), (b"X", b"{}")]
SAID = b"".join(frame(*found) for found in FRAMES)
# Frames and pieces end in different places, and PID 1 complains in between.
WIRE = (
    piece(Stream.STDOUT, SAID[:9])
    + piece(Stream.STDERR, b"")
    + piece(Stream.STDERR, b"Traceback")
    + piece(Stream.STDOUT, SAID[9:])
)


class FakeConnection:
    """Gives its chunks, then the end; remembers what is written."""

    def __init__(self, *chunks: bytes) -> None:
        self._chunks = list(chunks)
        self.written: list[bytes] = []
        self.more = asyncio.Event()

    async def write(self, data: bytes) -> None:
        self.written.append(data)

    async def read(self) -> bytes:
        if self._chunks == [b"wait"]:
            await self.more.wait()
            self._chunks = [WIRE]
        return self._chunks.pop(0) if self._chunks else b""

    async def leave(self) -> None:
        return None

    def close(self) -> None:
        return None


async def frames_of(attachment: Attachment) -> list[tuple[bytes, bytes]]:
    found = []
    while received := await attachment.receive():
        found.append(received)
    return found


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 13, 64, 10_000])
async def test_frames_are_found_in_chunks_of_any_size(size: int) -> None:
    attachment = Attachment(FakeConnection(*(WIRE[at : at + size] for at in range(0, len(WIRE), size))))
    assert await frames_of(attachment) == FRAMES
    assert attachment.complaint == "Traceback"


@pytest.mark.parametrize("size", [1, 8, 9, 64])
def test_pieces_are_passed_on_as_they_arrive(size: int) -> None:
    multiplexed = Multiplexed()
    found = dict.fromkeys(Stream, b"")
    for start in range(0, len(WIRE), size):
        for stream, payload in multiplexed.feed(WIRE[start : start + size]):
            found[stream] += payload
    assert found == {Stream.STDOUT: SAID, Stream.STDERR: b"Traceback"}


async def test_a_frame_that_is_too_long_is_refused_before_it_has_come() -> None:
    header = b"1" + (LONGEST + 1).to_bytes(4)
    with pytest.raises(BadFrame):
        await Attachment(FakeConnection(piece(Stream.STDOUT, header))).receive()


async def test_receiving_can_be_given_up_and_taken_up_again() -> None:
    connection = FakeConnection(b"wait")
    attachment = Attachment(connection)
    first = asyncio.create_task(attachment.receive())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    connection.more.set()
    assert await frames_of(attachment) == FRAMES


async def test_frames_are_sent_in_one_go() -> None:
    connection = FakeConnection()
    await Attachment(connection).send((b"J", b"{}"), (b"E", b""))
    assert connection.written == [frame(b"J", b"{}") + frame(b"E")]
