"""What a sandbox's PID 1 says, and what is made of it."""

import anyio
import pytest

from app.environments import ENVIRONMENTS
from app.executor.attachment import Attachment
from app.executor.engine import EngineError
from app.executor.sandbox import DockerSandbox
from app.executor.service import Silent
from app.executor.transcript import Stream
from app.guest.frames import EXIT, LONGEST, READY, REFUSED, STDOUT, frame, join
from app.profile import SandboxProfile
from app.wire.protocol import Execution

pytestmark = pytest.mark.anyio

SECONDS = 0.05


def piece(stream: Stream, payload: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4) + payload


class FakeConnection:
    """Gives its chunks, and then the end; or says no more, for ever."""

    def __init__(self, *chunks: bytes, ends: bool) -> None:
        self._chunks = list(chunks)
        self._ends = ends
        self.written = b""

    async def write(self, data: bytes) -> None:
        self.written += data

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


async def test_warnings_about_results_are_bounded_in_number_and_length() -> None:
    names = [f"{number:0255}" for number in range(1000)]
    refused = frame(REFUSED, join(*(text for name in names for text in (name, "More than 8 files."))))
    ended = sandbox(piece(Stream.STDOUT, refused), piece(Stream.STDOUT, frame(EXIT, join("exit_code", "0"))), ends=True)
    outcome = await ended.run(Execution(environment="python", code="1", results=("*",)), Silent())
    assert outcome.warnings[0] == f"results: {names[0]}: More than 8 files."
    assert outcome.warnings[-1] == "results: 980 more files are not given back."
    assert len("".join(outcome.warnings)) < 8192


async def test_few_warnings_are_all_told() -> None:
    refused = frame(REFUSED, join("a.txt", "There is no such file."))
    ended = sandbox(piece(Stream.STDOUT, refused), piece(Stream.STDOUT, frame(EXIT, join("exit_code", "0"))), ends=True)
    outcome = await ended.run(Execution(environment="python", code="1", results=("*",)), Silent())
    assert outcome.warnings == ("results: a.txt: There is no such file.",)
