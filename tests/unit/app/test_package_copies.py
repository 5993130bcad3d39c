"""The copy service of a unit, beside a packages service on an index of this machine."""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import socket
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.packages import copies, sending
from app.packages import store as stores
from app.packages.metrics import Metrics
from app.packages.server import build_packages
from app.packages.service import Preparations
from app.packages.settings import PackagesSettings
from app.packages.store import Entry, Store, complete
from app.packages.unpacking import Room
from app.wire.packages import LAYER, PackageSet
from app.wire.problems import Code, Refused
from tests.unit.app.fake_executor import serving
from tests.unit.app.package_unit import SITE, Unit, by_tcp
from tests.waiting import until
from tools.measure import package_index
from tools.measure.package_index import Index, wheel

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with package_index.serving() as found:
        found.package("named", needs=["needed"])
        found.package("needed")
        yield found


@dataclass
class Central:
    """A packages service, at `url`. `sent` are the paths of the requests to it."""

    store: Store
    settings: PackagesSettings
    url: str = ""
    sent: list[str] = field(default_factory=list)

    @property
    def streams(self) -> int:
        return sum(path.startswith("/sets/") for path in self.sent)


@contextlib.contextmanager
def central_at(index: Index, folder: Path, port: int = 0, **options: Any) -> Iterator[Central]:
    folder.mkdir(exist_ok=True)
    settings = PackagesSettings(index=index.url, store=folder, **options)
    store = Store(folder, settings.store_mb)
    store.open()
    metrics = Metrics(store)
    app = build_packages(Preparations(settings, store, folder, metrics), metrics, store, settings.seconds)
    found = Central(store, settings)

    async def counted(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            found.sent.append(scope["path"])
        await app(scope, receive, send)

    with serving(counted, port=port) as server:
        found.url = "http://{}:{}".format(*server.servers[0].sockets[0].getsockname())
        yield found


@pytest.fixture
def central(index: Index, tmp_path: Path) -> Iterator[Central]:
    with central_at(index, tmp_path / "central") as found:
        yield found


async def test_a_set_is_copied_with_what_it_needs_and_the_steps_are_told(central: Central, tmp_path: Path) -> None:
    unit = Unit(central.url, tmp_path)
    found = await unit.ask()
    assert [it.name for it in found.packages] == ["named", "needed"]
    files = unit.files(found.id)
    assert {name: it for name, it in files.items() if ".dist-info" not in name} == {
        "named.py": b"value = 1\n",
        "needed.py": b"value = 1\n",
    }
    first, second = (folder / "sets" / found.id / "set.json" for folder in (central.settings.store, unit.folder))
    assert Entry.model_validate_json(first.read_bytes()) == Entry.model_validate_json(second.read_bytes())
    assert "resolving" in unit.steps
    assert list((unit.folder / "new").iterdir()) == []


async def test_long_and_foreign_names_are_copied(central: Central, index: Index, tmp_path: Path) -> None:
    names = {"x" * 200 + "/" + "y" * 200 + ".py": "1", "naïve/日本.py": "2", "set.json": "{}"}
    index.add("lengthy", wheel("lengthy", names))
    unit = Unit(central.url, tmp_path)
    found = await unit.ask("lengthy")
    assert {name for name in unit.files(found.id) if ".dist-info" not in name} == set(names)


async def test_what_a_unit_has_it_asks_nobody_for_and_goes_on_without_the_service(
    central: Central, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "REPLACED_SECONDS", 0.2)
    unit = Unit(central.url, tmp_path)
    found = await unit.ask()
    asked = len(central.sent)
    assert await unit.ask() == found
    assert len(central.sent) == asked
    away = Unit("http://127.0.0.1:9", tmp_path)
    assert await away.ask() == found
    problem = await away.ask("needed")
    assert (problem.code, problem.retry_after) == (Code.PACKAGES_UNAVAILABLE, 10)
    assert "127.0.0.1" not in problem.detail


async def test_a_service_that_another_one_replaces_is_waited_for(index: Index, tmp_path: Path) -> None:
    with central_at(index, tmp_path / "first") as first:
        port = int(first.url.rpartition(":")[2])
    unit = Unit(first.url, tmp_path)
    asking = asyncio.create_task(unit.ask())
    await asyncio.sleep(0.5)
    assert not asking.done()
    with central_at(index, tmp_path / "second", port=port):
        assert (await asking).packages


async def test_many_requests_at_once_are_one_copy(central: Central, tmp_path: Path) -> None:
    unit = Unit(central.url, tmp_path)
    found = await asyncio.gather(*(unit.ask(client=f"1.2.3.{number}") for number in range(40)))
    assert len({it.id for it in found}) == 1
    assert central.streams == 1
    assert (await unit.ask("needed", "named")).id == found[0].id
    assert central.streams == 1


async def test_whoever_stops_waiting_stops_nobody_else(central: Central, tmp_path: Path) -> None:
    unit = Unit(central.url, tmp_path)
    impatient, other = asyncio.create_task(unit.ask()), asyncio.create_task(unit.ask())
    await asyncio.sleep(0.05)
    impatient.cancel()
    assert (await other).packages


async def test_new_sets_are_counted_by_client_for_all_units_together(index: Index, tmp_path: Path) -> None:
    """And a client's refusal is nobody else's, who asks for the same at the same time."""
    with central_at(index, tmp_path / "central", sets_per_hour=1) as central:
        units = [Unit(central.url, tmp_path / "central" / name) for name in ("asked", "new")]
        assert (await units[0].ask("needed")).packages
        before = len(central.sent)
        asking = asyncio.create_task(units[1].ask())
        # Were the other one's request the first, the set would be made, and given to both.
        while len(central.sent) == before:  # noqa: ASYNC110 - the service runs in another thread
            await asyncio.sleep(0.001)
        other, refused = await units[1].ask(client="1.2.3.5"), await asking
    assert (refused.code, 3500 < refused.retry_after <= 3600) == (Code.RATE_LIMITED, True)
    assert other.packages


async def test_refusals_are_the_services(central: Central, tmp_path: Path) -> None:
    unit = Unit(central.url, tmp_path)
    assert (await unit.ask("absent")).code == Code.PACKAGE_NOT_FOUND
    assert (await unit.ask("x", environment="bash")).code == Code.PACKAGE_NOT_ALLOWED
    assert unit.left_over() == []


async def test_a_set_that_the_service_has_removed_in_between_is_made_again(
    central: Central, index: Index, tmp_path: Path
) -> None:
    unit = Unit(central.url, tmp_path)
    found = await unit.ask()
    other = Unit(central.url, tmp_path / "central")
    hold, gone = central.store.hold, list[str]()

    def vanished(identity: str) -> Any:
        if not gone:
            gone.append(identity)
            central.store._remove(central.settings.store / "sets" / identity)
        return hold(identity)

    central.store.hold = vanished  # type: ignore[method-assign]
    assert await other.ask() == found
    assert gone == [found.id]


async def test_a_stream_that_breaks_off_is_asked_for_again(
    central: Central, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when another packages service takes the place of the one that sends."""
    whole = sending._tar

    def cut(description: Path, site: Path) -> Iterator[bytes]:
        if central.streams == 1:
            yield bytes(300_000)
            raise EOFError("the service ends")
        yield from whole(description, site)

    monkeypatch.setattr(sending, "_tar", cut)
    assert (await Unit(central.url, tmp_path).ask()).packages
    assert central.streams == 2


async def test_requests_that_wait_take_no_connection_from_a_copy(
    central: Central, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As many as there may be wait for the service while one of them has its answer, and copies."""
    monkeypatch.setattr(copies, "_ASKED_AT_ONCE", 1)
    monkeypatch.setattr(copies, "_QUICK_SECONDS", 0.2)
    unit = Unit(central.url, tmp_path)
    fetch = unit.copies._fetch

    async def fetched(made: PackageSet, archive: Path) -> None:
        async with unit.copies._asking.stream("GET", "/health"):
            await fetch(made, archive)

    monkeypatch.setattr(unit.copies, "_fetch", fetched)
    assert (await unit.ask()).packages


async def test_a_set_is_not_removed_while_it_is_sent(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_RECENT_SECONDS", 0)
    index.add("first", wheel("first", {"first.bin": bytes(700_000)}))
    index.add("second", wheel("second", {"second.bin": bytes(700_000)}))
    with central_at(index, tmp_path / "central", set_mb=1, store_mb=1) as central:
        unit = Unit(central.url, tmp_path, set_mb=1, store_mb=5)
        first = await unit.ask("first")
        held = central.store.hold(first.id)
        assert held
        problem = await unit.ask("second")
        assert problem.code == Code.PACKAGES_UNAVAILABLE
        held.close()
        await asyncio.sleep(1.1)  # The service repeats its refusal for one second.
        assert (await unit.ask("second")).packages
        assert central.store.hold(first.id) is None


async def test_a_units_store_has_its_bound_and_sets_in_use_stay(
    central: Central, index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_RECENT_SECONDS", 0)
    names = ("oldest", "held", "newest")
    for name in names:
        index.add(name, wheel(name, {f"{name}.bin": bytes(700_000)}))
    unit = Unit(central.url, tmp_path, set_mb=1, store_mb=2)
    oldest, held = await unit.ask("oldest"), await unit.ask("held")
    for number, it in enumerate((held, oldest), 1):
        os.utime(unit.folder / "sets" / it.id, (number, number))
    descriptor = os.open(unit.folder / "sets" / held.id, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        newest = await unit.ask("newest")
    finally:
        os.close(descriptor)
    assert {place.name for place in (unit.folder / "sets").iterdir()} == {held.id, newest.id}
    assert (await unit.ask("oldest")) == oldest


async def test_the_service_serves_sets_alone_and_reads_no_long_body(central: Central) -> None:
    async with httpx.AsyncClient(base_url=central.url, trust_env=False) as client:
        for name in ("b" * 64, "..%2F..", "x", "%2e%2e"):
            assert (await client.get(f"/sets/{name}")).status_code == 404, name
        answer = await client.post("/prepare", content=b" " * (1024 * 1024 + 1))
    assert answer.json()["code"] == Code.BODY_TOO_LONG


def keep_set(store: Store, files: Mapping[str, bytes], *, size: int) -> PackageSet:
    """Open a store, and keep a set of these files in it that says it has `size` bytes."""
    store.open()
    made = PackageSet(id="a" * 64, environment="python", packages=(), size=size)
    with store.workplace() as place:
        (place / SITE).mkdir(parents=True)
        for name, content in files.items():
            (place / SITE / name).write_bytes(content)
        store.keep(complete(made, place), place)
    return made


@pytest.mark.parametrize("hangs_up", [False, True])
def test_a_set_that_nobody_reads_is_cut_off_and_may_be_removed_then(tmp_path: Path, hangs_up: bool) -> None:
    store = Store(tmp_path, 100)
    made = keep_set(store, {"large.bin": bytes(50_000_000)}, size=50_000_000)
    nobody: Any = None
    seconds = 60 if hangs_up else 1
    with by_tcp(build_packages(nobody, Metrics(store), store, seconds)) as url:
        host, port = url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port))) as client:
            client.sendall(f"GET /sets/{made.id} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            client.recv(1000)
            assert not stores.unused(tmp_path / "sets" / made.id)
            if hangs_up:
                client.close()
            until(lambda: stores.unused(tmp_path / "sets" / made.id), 10, "a set that nobody holds")


@pytest.mark.parametrize("content", [b"x", b""])
def test_the_store_counts_whole_blocks(tmp_path: Path, content: bytes) -> None:
    """A set of many small files takes more of the disk than their bytes, and one of empty files takes inodes."""
    store = Store(tmp_path, 1)
    with pytest.raises(Refused):
        keep_set(store, {str(number): content for number in range(300)}, size=300)
    assert store.size == 0


def test_the_digest_takes_files_in_the_order_of_their_paths(tmp_path: Path) -> None:
    """It is that of the sets which an earlier version has made."""
    for name in ("b/c", "b-d", "b/a/x", "B", "é", "a.b", "a/y"):
        (tmp_path / LAYER / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / LAYER / name).write_text(name)
    made = PackageSet(id="a" * 64, environment="python", packages=(), size=20)
    expected = hashlib.sha256()
    for place in sorted((tmp_path / LAYER).rglob("*")):
        content = hashlib.sha256(place.read_bytes()).digest() if place.is_file() else b"a folder"
        expected.update(place.relative_to(tmp_path / LAYER).as_posix().encode() + b"\0" + content + b"\0")
    assert complete(made, tmp_path).digest == expected.hexdigest()


def test_the_names_of_many_files_are_not_kept_in_memory(tmp_path: Path) -> None:
    """Two sets of the most files with the longest names fit into the copy service's memory."""
    files, folder = 1000, SITE.joinpath(*(letter * 240 for letter in "abc"))
    made = PackageSet(id="a" * 64, environment="python", packages=(), size=0)
    one, other = tmp_path / "one", tmp_path / "other"
    (one / folder).mkdir(parents=True)
    for number in range(files):
        (one / folder / f"{number}{'x' * 200}").touch()
    complete(made, one)
    other.mkdir()
    (other / "archive").write_bytes(b"".join(sending._tar(one / "set.json", one / SITE)))
    tracemalloc.start()
    try:
        copies._unpack(made, other, Room(0, time.monotonic() + 60))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1500 * files
