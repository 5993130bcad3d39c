"""The engine's multiplexed stream, however the network cuts it."""

import socket
import threading

import pytest

from app.executor.attachment import Attachment, FrameParser
from app.executor.transcript import Stream


def frame(stream: Stream, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4) + payload


WIRE = frame(Stream.STDOUT, b"hello") + frame(Stream.STDERR, b"") + frame(Stream.STDERR, b"x" * 300)


@pytest.mark.parametrize("size", [1, 2, 7, 8, 9, 13, 64, 10_000])
def test_frames_are_found_in_chunks_of_any_size(size: int) -> None:
    parser = FrameParser()
    found = dict.fromkeys(Stream, b"")
    for start in range(0, len(WIRE), size):
        for stream, payload in parser.feed(WIRE[start : start + size]):
            found[stream] += payload
    assert found == {Stream.STDOUT: b"hello", Stream.STDERR: b"x" * 300}


@pytest.mark.anyio
async def test_output_is_read_while_nobody_reads_the_input() -> None:
    ours, theirs = socket.socketpair()
    attachment = Attachment(ours)

    def write_and_leave() -> None:
        with theirs:
            theirs.sendall(WIRE)

    writer = threading.Thread(target=write_and_leave)
    writer.start()
    await attachment.send(b"z" * 10_000_000)  # the other side closes without reading: no error
    pieces = [piece async for piece in attachment.receive()]
    attachment.close()
    writer.join()
    assert b"".join(payload for _, payload in pieces) == b"hello" + b"x" * 300
