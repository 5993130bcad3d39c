"""The packages service on an index of this machine: what it prepares, and what it refuses."""

import asyncio
import fcntl
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.packages import store as stores
from app.packages.settings import PackagesSettings
from app.packages.store import Entry
from app.process.settings import SettingsError
from app.wire.packages import LAYER
from app.wire.problems import Code
from app.wire.protocol import Package
from tests.processes.packages_service import Service
from tools.measure.package_index import Index, serving, wheel

MB = 1024 * 1024


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    """An index that each test adds to, under names of its own."""
    with serving() as found:
        yield found


@pytest.fixture
def service(index: Index, tmp_path: Path) -> Service:
    return Service(index, tmp_path)


pytestmark = pytest.mark.anyio


async def test_a_package_comes_with_what_it_needs(service: Service, index: Index) -> None:
    index.package("needed", version="1.0")
    index.package("needed", "value = 2\n", version="2.0")
    index.package("first", needs=["needed>=1"])
    found = await service.ask("First>=1")
    assert [(it.name, it.version) for it in found.packages] == [("first", "1.0"), ("needed", "2.0")]
    assert service.files(found.id) == {"first.py": b"value = 1\n", "needed.py": b"value = 2\n"}
    assert service.left_over() == []


async def test_a_set_is_asked_of_the_index_once(service: Service, index: Index) -> None:
    index.package("once")
    found = await service.ask("once")
    asked = len(index.asked)
    assert await service.ask("once") == found
    assert len(index.asked) == asked
    assert (await service.ask("once==1.0")).id == found.id


async def test_fifty_at_once_are_prepared_once(service: Service, index: Index) -> None:
    index.package("popular")
    before = len(index.asked)
    found = await asyncio.gather(*(service.ask("popular", client=f"1.2.3.{number}") for number in range(50)))
    assert len({it.id for it in found}) == 1
    assert len([path for path in index.asked[before:] if path.startswith("/simple/")]) == 1


async def test_whoever_stops_waiting_stops_nobody_else(service: Service, index: Index) -> None:
    index.package("patient")
    impatient = asyncio.create_task(service.ask("patient"))
    others = asyncio.create_task(service.ask("patient"))
    await asyncio.sleep(0.01)
    impatient.cancel()
    assert [it.name for it in (await others).packages] == ["patient"]


async def test_what_the_environment_has_stays(service: Service, index: Index) -> None:
    index.package("owned", version="1.0")
    index.package("owned", version="2.0")
    index.package("user", needs=["owned"])
    index.package("modern", needs=["owned>=2"])
    installed = (Package(name="owned", version="1.0"),)
    found = await service.ask("user", environment="python-data", installed=installed)
    assert [it.name for it in found.packages] == ["user"]
    problem = await service.ask("modern", environment="python-data", installed=installed)
    assert problem.code == Code.PACKAGES_CONFLICT


@pytest.mark.parametrize(
    ("packages", "code", "detail"),
    [
        (["nowhere"], Code.PACKAGE_NOT_FOUND, "nowhere was not found"),
        (["plain==9"], Code.PACKAGE_NOT_FOUND, "no version of plain==9"),
        (["source"], Code.PACKAGE_NEEDS_BUILD, "source==1.0 has no usable wheels"),
        (["plain>=1", "clashing"], Code.PACKAGES_CONFLICT, "clashing depend on plain<1"),
        (["--index-url=http://127.0.0.1:1/"], Code.INVALID_REQUEST, "is not a package's name"),
        (["-r/etc/passwd"], Code.INVALID_REQUEST, "is not a package's name"),
        (["plain\n--index-url x"], Code.INVALID_REQUEST, "is not a package's name"),
        (["plain @ http://127.0.0.1:1/plain-1.0-py3-none-any.whl"], Code.INVALID_REQUEST, "may not have a URL"),
        (["plain @ file:///etc"], Code.INVALID_REQUEST, "may not have a URL"),
        (["../plain"], Code.INVALID_REQUEST, "is not a package's name"),
        (["a", "b", "c", "d"], Code.PACKAGES_TOO_LARGE, "4 packages are asked for; at most 3"),
    ],
)
async def test_refusals_say_why(index: Index, tmp_path: Path, packages: list[str], code: Code, detail: str) -> None:
    index.package("plain")
    index.package("clashing", needs=["plain<1"])
    index.add("source")
    service = Service(index, tmp_path, most=3)
    problem = await service.ask(*packages)
    assert problem.code == code
    assert detail in problem.detail
    assert service.left_over() == []


async def test_other_environments_take_no_packages(service: Service) -> None:
    problem = await service.ask("plain", environment="bash")
    assert (problem.code, "bash takes no packages" in problem.detail) == (Code.PACKAGE_NOT_ALLOWED, True)


async def test_the_lists_of_the_operator(index: Index, tmp_path: Path) -> None:
    index.package("bad_one")
    index.package("good", needs=["bad_one"])
    index.package("fine")
    service = Service(index, tmp_path, allow=("good", "fine"), deny=("Bad.One",))
    assert [it.name for it in (await service.ask("fine")).packages] == ["fine"]
    for name, detail in (("plain", "plain can't be had here"), ("good", "No set may hold bad-one")):
        problem = await service.ask(name)
        assert problem.code == Code.PACKAGE_NOT_ALLOWED
        assert detail in problem.detail


async def test_new_sets_are_counted_by_client(index: Index, tmp_path: Path) -> None:
    service = Service(index, tmp_path, sets_per_hour=1)
    for name in ("one", "two"):
        index.package(name)
    assert (await service.ask("one")).packages
    problem = await service.ask("two")
    assert problem.code == Code.RATE_LIMITED
    assert 3500 < problem.retry_after <= 3600
    assert (await service.ask("one")).packages
    assert (await service.ask("two", client="1.2.3.5")).packages


async def test_an_index_that_is_away(index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as gone:
        url = gone.url
    service = Service(index, tmp_path)
    service.settings = service.settings.model_copy(update={"index": url})
    service.open()
    problem = await service.ask("plain")
    assert (problem.code, problem.retry_after) == (Code.PACKAGES_UNAVAILABLE, 10)
    assert "127.0.0.1" not in problem.detail
    assert "Connection refused" in caplog.text


async def test_a_wheel_whose_hash_differs(service: Service, index: Index) -> None:
    index.add("forged", wheel("forged", {"forged.py": "x = 1"}), sha256="0" * 64)
    problem = await service.ask("forged")
    assert problem.code == Code.PACKAGE_NOT_ALLOWED
    assert "SHA-256" in problem.detail
    assert (len(service.store), service.left_over()) == (0, [])


@pytest.mark.parametrize(
    "path",
    [
        *("../../../escaped.py", "/tmp/escaped.py", "a/../../escaped.py", "a\\..\\escaped.py", "a//b.py", "./a.py"),
        *("climbing-1.0.data/purelib/../../escaped.py", "climbing-1.0.data/../escaped.py", "a\x07.py", "a" * 300),
    ],
)
async def test_a_wheel_that_climbs_out(index: Index, tmp_path: Path, path: str) -> None:
    service = Service(index, tmp_path)
    index.add("climbing", wheel("climbing", {path: "x = 1"}))
    problem = await service.ask("climbing")
    assert problem.code == Code.PACKAGE_NOT_ALLOWED
    assert "is not the name of a file below its folder" in problem.detail
    assert service.everywhere("escaped.py") == []
    assert (len(service.store), service.left_over()) == (0, [])


async def test_a_wheel_with_a_link(service: Service, index: Index, tmp_path: Path) -> None:
    made = tmp_path / "linking.whl"
    made.write_bytes(wheel("linking", {}))
    with zipfile.ZipFile(made, "a") as archive:
        link = zipfile.ZipInfo("linking")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "/etc")
    index.add("linking", made.read_bytes())
    problem = await service.ask("linking")
    assert problem.code == Code.PACKAGE_NOT_ALLOWED
    assert "neither a file nor a folder" in problem.detail


async def test_schemes_of_data_other_than_modules_are_left_out(service: Service, index: Index) -> None:
    files = {
        "schemes-1.0.data/purelib/schemes.py": "x = 1",
        "schemes-1.0.data/scripts/schemes": "#!/bin/sh",
        "schemes-1.0.data/data/etc/passwd": "root",
        "schemes-1.0.data/headers/x.h": "",
    }
    index.add("schemes", wheel("schemes", files))
    assert service.files((await service.ask("schemes")).id) == {"schemes.py": b"x = 1"}


async def test_nothing_runs_when_python_starts(service: Service, index: Index) -> None:
    files = dict.fromkeys(("evil.pth", "sitecustomize.py", "usercustomize/__init__.py", "sitecustomize.abi3.so"), "x")
    index.add("starting", wheel("starting", {**files, "starting/data.pth": "kept"}))
    assert service.files((await service.ask("starting")).id) == {"starting/data.pth": b"kept"}


async def test_a_wheel_that_unpacks_to_too_much(index: Index, tmp_path: Path) -> None:
    service = Service(index, tmp_path, set_mb=5)
    index.add("bomb", wheel("bomb", {f"bomb{number}.bin": bytes(MB) for number in range(6)}))
    problem = await service.ask("bomb")
    assert problem.code == Code.PACKAGES_TOO_LARGE
    assert (len(service.store), service.left_over()) == (0, [])


async def test_a_wheel_with_too_many_files(service: Service, index: Index) -> None:
    index.add("swarm", wheel("swarm", {f"swarm/{number}": b"" for number in range(20_001)}))
    assert (await service.ask("swarm")).code == Code.PACKAGES_TOO_LARGE
    assert service.left_over() == []


@pytest.mark.parametrize("damage", ["cut", "garbage", "file as folder"])
async def test_a_damaged_wheel(service: Service, index: Index, damage: str) -> None:
    sound = wheel("damaged", {"damaged.py": "x = 1" * 1000})
    content = {
        "cut": sound[:200] + sound[300:],
        "garbage": sound[:40] + b"\xff" * 20 + sound[60:],
        "file as folder": wheel("damaged", {"a": "", "a/b": ""}),
    }[damage]
    index.add("damaged", content)
    assert (await service.ask("damaged")).code in (Code.PACKAGE_NOT_ALLOWED, Code.PACKAGES_UNAVAILABLE)
    assert (len(service.store), service.left_over()) == (0, [])


async def test_a_changed_set_is_made_again(service: Service, index: Index) -> None:
    index.package("poisoned")
    found = await service.ask("poisoned")
    (module,) = (service.settings.store / "sets" / found.id).rglob("poisoned.py")
    module.write_text("value = 666\n")
    service.open()
    assert (await service.ask("poisoned")) == found
    assert service.files(found.id) == {"poisoned.py": b"value = 1\n"}


@pytest.mark.parametrize("cut", ["no description", "half a description", "no files"])
async def test_a_half_written_set_is_made_again(service: Service, index: Index, cut: str) -> None:
    index.package("halved")
    found = await service.ask("halved")
    place = service.settings.store / "sets" / found.id
    if cut == "no description":
        (place / "set.json").unlink()
    elif cut == "half a description":
        (place / "set.json").write_bytes((place / "set.json").read_bytes()[:50])
    else:
        shutil.rmtree(place / LAYER)
    (service.settings.store / "new" / "unfinished").mkdir()
    service.open()
    assert service.left_over() == []
    assert (await service.ask("halved")) == found
    assert service.files(found.id) == {"halved.py": b"value = 1\n"}


async def test_the_least_recently_used_sets_go_and_those_in_use_stay(
    index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores, "_RECENT_SECONDS", 0)
    service = Service(index, tmp_path, set_mb=1, store_mb=2)
    for name in ("oldest", "held", "newest"):
        index.add(name, wheel(name, {f"{name}.bin": bytes(700_000)}))
    oldest, held = await service.ask("oldest"), await service.ask("held")
    sets = service.settings.store / "sets"
    os.utime(sets / held.id, (1, 1))
    os.utime(sets / oldest.id, (2, 2))
    descriptor = os.open(sets / held.id, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        newest = await service.ask("newest")
    finally:
        os.close(descriptor)
    assert {place.name for place in sets.iterdir()} == {held.id, newest.id}
    on_disk = [Entry.model_validate_json((sets / it.id / "set.json").read_bytes()).disk for it in (held, newest)]
    assert held.size + newest.size < service.store.size == sum(on_disk)
    assert b"packages_sets_removed_total 1.0" in service.metrics.exposition()
    assert (await service.ask("oldest")).id == oldest.id


async def test_a_full_store_of_sets_in_use(index: Index, tmp_path: Path) -> None:
    service = Service(index, tmp_path, set_mb=1, store_mb=1)
    for name in ("filling", "waiting"):
        index.add(name, wheel(name, {f"{name}.bin": bytes(700_000)}))
    assert (await service.ask("filling")).packages
    assert (await service.ask("waiting")).code == Code.PACKAGES_UNAVAILABLE


async def test_what_takes_too_long_is_given_up(index: Index, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = Service(index, tmp_path, seconds=1)
    index.package("slow")
    answer = index.answer
    monkeypatch.setattr(index, "answer", lambda path: (__import__("time").sleep(2), answer(path))[1])
    problem = await service.ask("slow")
    assert (problem.code, "not ready in time" in problem.detail) == (Code.PACKAGES_UNAVAILABLE, True)


@pytest.mark.parametrize("index", ["ftp://x/", "https://user:secret@x/simple/", "x"])
def test_an_index_has_a_plain_url(index: str) -> None:
    with pytest.raises(SettingsError) as caught:
        PackagesSettings.read({"PACKAGES_INDEX": index})
    assert "secret" not in str(caught.value)
