"""A sandbox that is not ready says why, whatever became of it."""

import anyio
import pytest

from app.environments import ENVIRONMENTS
from app.executor.attachment import Attachment
from app.executor.engine import EngineError
from app.executor.sandbox import DockerSandbox
from app.executor.transcript import Stream
from app.guest.frames import LONGEST, READY, STDOUT, frame
from app.profile import SandboxProfile

pytestmark = pytest.mark.anyio

SECONDS = 0.05


def piece(stream: Stream, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4) + payload


class FakeConnection:
    """Gives its chunks, and then the end; or says no more, for ever."""

    def __init__(self, *chunks: bytes, ends: bool) -> None:
        self._chunks = list(chunks)
        self._ends = ends

    async def write(self, data: bytes) -> None:
        raise AssertionError("nothing is written before it is ready")

    async def read(self) -> bytes:
        if not self._chunks and not self._ends:
            await anyio.sleep_forever()
        return self._chunks.pop(0) if self._chunks else b""

    async def leave(self) -> None:
        return None

    def close(self) -> None:
        return None


def sandbox(*chunks: bytes, ends: bool) -> DockerSandbox:
    async def post_mortem() -> bool:
        return False

    attachment = Attachment(FakeConnection(*chunks, ends=ends))
    profile = SandboxProfile(timeout_seconds=SECONDS)
    return DockerSandbox("0" * 32, ENVIRONMENTS["python"], profile, attachment, post_mortem)


async def test_one_that_says_so_is_ready() -> None:
    await sandbox(piece(Stream.STDOUT, frame(READY)), ends=False).ready()


COMPLAINT = piece(Stream.STDERR, b"no space left on device\n")
OUTSIZED = b"R" + (LONGEST + 1).to_bytes(4)


@pytest.mark.parametrize(
    ("chunks", "ends", "cause"),
    [
        ([], False, "the sandbox was not ready within 0.05 s: its PID 1 has said nothing"),
        ([COMPLAINT], False, "the sandbox was not ready within 0.05 s: no space left on device"),
        ([], True, "the sandbox has ended before it was ready: its PID 1 has said nothing"),
        ([COMPLAINT], True, "the sandbox has ended before it was ready: no space left on device"),
        (
            [piece(Stream.STDOUT, OUTSIZED)],
            False,
            f"the sandbox does not speak the protocol: it sent a frame of {LONGEST + 1} bytes",
        ),
        (
            [piece(Stream.STDOUT, frame(STDOUT, b"x"))],
            False,
            f"the sandbox does not speak the protocol: it began with a frame of type {STDOUT!r}",
        ),
    ],
)
async def test_one_that_is_not_ready_says_why(chunks: list[bytes], ends: bool, cause: str) -> None:
    with pytest.raises(EngineError) as caught:
        await sandbox(*chunks, ends=ends).ready()
    assert str(caught.value) == cause
