"""What a unit refuses of a packages service that somebody has taken over."""

import asyncio
import functools
import io
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from app.packages import copies
from app.packages.store import Entry, complete
from app.packages.unpacking import Room
from app.wire.packages import PackageSet, Prepared
from app.wire.problems import Code
from tests.unit.app.package_unit import SITE, Unit, by_tcp

pytestmark = pytest.mark.anyio
MB = 1024 * 1024


ENTRY = Entry(set=PackageSet(id="a" * 64, environment="python", packages=(), size=6), digest="", disk=0)


def tar(*items: tuple[str | tarfile.TarInfo, bytes], set_of: PackageSet = ENTRY.set, digest: str = "") -> bytes:
    """A stream of a set with these files, behind its description."""
    made = io.BytesIO()
    described = Entry(set=set_of, digest=digest).model_dump_json().encode()
    with tarfile.open(fileobj=made, mode="w") as archive:
        for name, content in (("set.json", described), *items):
            entry = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            if entry.isfile():
                entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return made.getvalue()


def digest_of(folder: Path, files: dict[str, bytes]) -> str:
    """The digest of a set with these files."""
    (folder / SITE).mkdir(parents=True)
    for name, content in files.items():
        (folder / SITE / name).write_bytes(content)
    return complete(ENTRY.set, folder).digest


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def hostile(stream: bytes | Callable[[], AsyncIterator[bytes]], prepared: PackageSet = ENTRY.set) -> ASGIApp:
    """A packages service that has prepared this set, and sends this stream for it."""

    async def prepare(_: Request) -> Response:
        return JSONResponse(Prepared(set=prepared).model_dump(mode="json"))

    async def send(_: Request) -> Response:
        return Response(stream) if isinstance(stream, bytes) else StreamingResponse(stream())

    routes = [Route("/prepare", prepare, methods=["POST"]), Route("/sets/{identity:path}", send)]
    return Starlette(routes=routes)


def escaped(folder: Path) -> list[Path]:
    """Files of a hostile stream, wherever they are."""
    return [*folder.rglob("escaped*"), *Path(tempfile.gettempdir()).glob("escaped*")]


async def refused(app: ASGIApp, folder: Path, caplog: pytest.LogCaptureFixture, **options: Any) -> str:
    """Why a set is refused, as the log tells it. Nothing is left of it, and the visitor may try again."""
    with by_tcp(app) as url:
        unit = Unit(url, folder, **options)
        problem = await unit.ask()
    assert (problem.code, problem.retry_after) == (Code.PACKAGES_UNAVAILABLE, 10), problem
    assert (unit.left_over(), len(unit.store), unit.store.size) == ([], 0, 0)
    assert escaped(folder) == []
    return caplog.text


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE])
async def test_files_alone_are_taken(kind: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    target = "set.json" if kind == tarfile.LNKTYPE else "/etc/passwd"
    stream = tar((special("x", kind, target), b""))
    assert "'x' is no plain file" in await refused(hostile(stream), tmp_path, caplog)


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", "a//escaped", "a\\escaped", "a\x07"])
async def test_no_name_leads_out(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert "is not the name of a file below" in await refused(hostile(tar((name, b"x"))), tmp_path, caplog)


@pytest.mark.parametrize(
    ("stream", "why"),
    [
        (b"", "can't be read"),
        (b"x" * 5000, "can't be read"),
        (tar()[:100], "can't be read"),
        (tar(("x.py", b"12345678901")), "larger than the set"),
        (tar(*((str(number), b"") for number in range(101))), "larger than the set"),
        (tar(("/".join("d" * 102), b"")), "larger than the set"),
        (tar(("a", b""), ("a/b", b"")), "a file in place of a folder"),
        (tar(("a/b", b""), ("a", b"")), "a file in place of a folder"),
        (tar(("x.py", b"123456"), digest="0" * 64), "is not the set"),
        (tar(set_of=ENTRY.set.model_copy(update={"id": "b" * 64})), "is not the set"),
        (tar(set_of=ENTRY.set.model_copy(update={"size": 5})), "is not the set"),
        (tar(("x", b""))[512:], "can't be read"),
    ],
)
async def test_a_stream_that_is_not_the_set(
    stream: bytes, why: str, tmp_path: Path, *, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "Room", functools.partial(Room, files=100, folders=100))
    assert why in await refused(hostile(stream), tmp_path, caplog)


async def test_a_set_without_files_is_one(tmp_path: Path) -> None:
    with by_tcp(hostile(tar(digest=digest_of(tmp_path / "made", {})))) as url:
        assert await Unit(url, tmp_path).ask() == ENTRY.set


async def test_a_stream_that_is_cut_off(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Between two files, where tarfile sees an end."""
    files = {"a.py": b"123", "b.py": b"456"}
    whole = tar(*files.items(), digest=digest_of(tmp_path / "made", files))
    with by_tcp(hostile(whole)) as url:
        assert (await Unit(url, tmp_path).ask()).id == ENTRY.set.id
    other = tmp_path / "other"
    other.mkdir()
    assert "is not the set" in await refused(hostile(whole[: 4 * 512]), other, caplog)


async def test_headers_without_an_end_are_not_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = tarfile.TarInfo("x")
    long.type, long.size = tarfile.XHDTYPE, 3 * MB
    stream = tar()[:1024] + long.tobuf() + bytes(3 * MB)
    assert "the headers are too long" in await refused(hostile(stream), tmp_path, caplog)


async def test_a_stream_without_an_end_is_bounded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_HEADERS_MB", 2)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(MB)
            await asyncio.sleep(0)

    assert "has no end" in await refused(hostile(endless), tmp_path, caplog)


async def test_a_stream_that_stands_still_is_given_up(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.1)

    began = time.monotonic()
    assert "over 1 s" in await refused(hostile(slow), tmp_path, caplog, seconds=1)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "change",
    [{"id": "../../escaped"}, {"id": "A" * 64}, {"environment": "node"}, {"size": 201 * MB}, {"size": -1}],
    ids=str,
)
async def test_a_set_that_was_not_asked_for(
    change: dict[str, Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    prepared = ENTRY.set.model_copy(update=change)
    assert "it tells of a set" in await refused(hostile(tar(), prepared), tmp_path, caplog)


async def test_a_set_of_another_environment_that_the_unit_has(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with by_tcp(hostile(tar(digest=digest_of(tmp_path / "made", {})))) as url:
        assert await Unit(url, tmp_path).ask() == ENTRY.set
    with by_tcp(hostile(tar(), ENTRY.set.model_copy(update={"environment": "node"}))) as url:
        problem = await Unit(url, tmp_path).ask(environment="node")
    assert problem.code == Code.PACKAGES_UNAVAILABLE
    assert "is for 'python', and it tells of it for 'node'" in caplog.text


async def test_an_answer_without_an_end_is_bounded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def prepare(_: Request) -> Response:
        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b" " * MB
                await asyncio.sleep(0)

        return StreamingResponse(endless())

    app = Starlette(routes=[Route("/prepare", prepare, methods=["POST"])])
    assert "its answer has no end" in await refused(app, tmp_path, caplog)


async def test_a_set_that_is_never_there(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def prepare(_: Request) -> Response:
        return JSONResponse(Prepared(set=ENTRY.set).model_dump(mode="json"))

    app = Starlette(routes=[Route("/prepare", prepare, methods=["POST"])])
    assert "has the set" in await refused(app, tmp_path, caplog)
