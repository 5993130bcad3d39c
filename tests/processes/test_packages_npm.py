"""Packages for Node: what the packages service prepares from a registry of this machine, and what it refuses."""

import gzip
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.packages.tarballs import unpack
from app.packages.unpacking import Locked, Room
from app.wire.packages import LockedPackage
from app.wire.problems import Code, Problem, Refused
from tests.processes.packages_service import Service
from tools.measure.package_index import Index, serving, tarball

pytestmark = pytest.mark.anyio

MB = 1024 * 1024


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    """A registry that each test adds to, under names of its own."""
    with serving() as found:
        found.module("plain")
        yield found


@pytest.fixture
def service(index: Index, tmp_path: Path) -> Service:
    return Service(index, tmp_path)


def refused(folder: Path, content: bytes, place: str = "x") -> Problem:
    """The problem of a tarball that is unpacked into a folder of 5 MB, 100 files and 100 folders."""
    archive, site = folder / "archive", folder / "layer" / "site"
    archive.write_bytes(content)
    site.mkdir(parents=True)
    locked = Locked(LockedPackage(name="x", version="1.0.0", hash="sha512:00"), "https://x/x.tgz", None, place)
    with pytest.raises(Refused) as caught:
        unpack(locked, archive, site, Room(5 * MB, time.monotonic() + 60, files=100, folders=100))
    return caught.value.problem


async def test_a_package_comes_with_what_it_needs(service: Service, index: Index) -> None:
    index.module("needed", "exports.value = 1\n", version="1.0.0")
    index.module("needed", "exports.value = 2\n", version="2.0.0")
    index.module("first", dependencies={"needed": "^1"})
    index.module("@scope/second", dependencies={"needed": "2.x"})
    found = await service.ask("first@^1", "@scope/second", environment="node")
    assert [(it.name, it.version) for it in found.packages] == [
        *(("@scope/second", "1.0.0"), ("first", "1.0.0")),
        *(("needed", "1.0.0"), ("needed", "2.0.0")),
    ]
    assert {len(it.hash) for it in found.packages} == {len("sha512:") + 128}
    modules = {name: it for name, it in service.files(found.id).items() if name.endswith(".js")}
    assert set(modules) == {
        *("@scope/second/index.js", "first/index.js", "needed/index.js"),
        *(name for name in modules if name.endswith("/node_modules/needed/index.js")),
    }
    assert sorted(modules.values())[-2:] == [b"exports.value = 1\n", b"exports.value = 2\n"]
    assert service.left_over() == []
    assert list((service.folder / "tools").iterdir()) == []


async def test_a_set_of_node_is_none_of_python(service: Service, index: Index) -> None:
    index.module("both")
    index.package("both")
    node, python = await service.ask("both", environment="node"), await service.ask("both")
    assert node.id != python.id
    assert set(service.files(node.id)) == {"both/index.js", "both/package.json"}
    assert set(service.files(python.id)) == {"both.py"}


async def test_packages_of_other_systems_are_left_out(service: Service, index: Index) -> None:
    index.module("mac", os=["darwin"])
    index.module("other", cpu=["mips"])
    index.module("musical", os=["linux"], libc=["musl"])
    optional = {"mac": "1", "other": "1", "musical": "1"}
    index.module("portable", optionalDependencies=optional)
    found = await service.ask("portable", environment="node")
    assert [it.name for it in found.packages] == ["portable"]
    problem = await service.ask("mac", environment="node")
    assert (problem.code, "mac@1.0.0 is not for this environment" in problem.detail) == (Code.PACKAGE_NEEDS_BUILD, True)


@pytest.mark.parametrize(
    ("packages", "code", "detail"),
    [
        (["nowhere"], Code.PACKAGE_NOT_FOUND, "nowhere was not found"),
        (["plain@9"], Code.PACKAGE_NOT_FOUND, "No matching version found for plain@9"),
        (["plain@1", "plain@2"], Code.PACKAGES_CONFLICT, "in two versions"),
        (["host@1", "guest"], Code.PACKAGES_CONFLICT, "guest@1.0.0 needs host@2, and host@1.0.0 is there."),
        (["scripted"], Code.PACKAGE_NEEDS_BUILD, "scripted is installed by a script"),
        (["above"], Code.PACKAGE_NEEDS_BUILD, "scripted is installed by a script"),
        (["quiet"], Code.PACKAGE_NEEDS_BUILD, "quiet is installed by a script"),
        (["compiled"], Code.PACKAGE_NEEDS_BUILD, "compiled is installed by a script"),
        (["wrapped"], Code.PACKAGE_NOT_ALLOWED, "brings a lock of its own"),
        (["by-git"], Code.PACKAGE_NOT_ALLOWED, "is not in the registry"),
        (["by-url"], Code.PACKAGE_NOT_ALLOWED, "is not in the registry"),
        (["by-file"], Code.PACKAGE_NOT_ALLOWED, "is not in the registry"),
        (["toString"], Code.PACKAGE_NOT_ALLOWED, "npm can't resolve these packages"),
        (["weak"], Code.PACKAGE_NOT_ALLOWED, "no SHA-512 for weak"),
        (["--registry=http://127.0.0.1:1/"], Code.INVALID_REQUEST, "is not a package's name"),
        (["-g"], Code.INVALID_REQUEST, "is not a package's name"),
        (["plain@file:/etc"], Code.INVALID_REQUEST, "is not a package's name"),
        (["plain@npm:other@1"], Code.INVALID_REQUEST, "is not a package's name"),
        (["user/repository"], Code.INVALID_REQUEST, "is not a package's name"),
        (["https://127.0.0.1:1/x.tgz"], Code.INVALID_REQUEST, "is not a package's name"),
        (["../plain"], Code.INVALID_REQUEST, "is not a package's name"),
        (["plain\n"], Code.INVALID_REQUEST, "is not a package's name"),
        (["a", "b", "c", "d"], Code.PACKAGES_TOO_LARGE, "4 packages are asked for; at most 3"),
    ],
)
async def test_refusals_say_why(index: Index, tmp_path: Path, packages: list[str], code: Code, detail: str) -> None:
    script = {"postinstall": "touch /tmp/ran"}
    index.module("host", version="1.0.0")
    index.module("host", version="2.0.0")
    index.module("guest", peerDependencies={"host": "2"})
    index.module("scripted", scripts=script, hasInstallScript=True)
    index.module("above", dependencies={"scripted": "1"})
    index.publish("quiet", tarball({}, name="quiet", scripts=script))
    index.publish("compiled", tarball({"package/binding.gyp": "{}"}, name="compiled"))
    index.module("wrapped", _hasShrinkwrap=True)
    index.module("by-git", dependencies={"x": "git+https://127.0.0.1:1/a/b.git"})
    index.module("by-url", dependencies={"x": "http://127.0.0.1:1/x.tgz"})
    index.module("by-file", dependencies={"x": "file:../../etc"})
    index.publish("weak", tarball({}, name="weak"), "sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk=")
    service = Service(index, tmp_path, most=3)
    problem = await service.ask(*packages, environment="node")
    assert problem.code == code, problem
    assert detail in problem.detail
    assert (len(service.store), service.left_over()) == (0, [])


async def test_what_may_be_built_and_need_not_is_left_out(service: Service, index: Index) -> None:
    index.module("watcher", hasInstallScript=True, scripts={"install": "node-gyp rebuild"})
    index.module("quick", optionalDependencies={"watcher": "1"})
    assert [it.name for it in (await service.ask("quick", environment="node")).packages] == ["quick"]


async def test_the_lists_of_the_operator(index: Index, tmp_path: Path) -> None:
    index.module("bad")
    index.module("good", dependencies={"renamed": "npm:bad@1"})
    index.module("fine")
    service = Service(index, tmp_path, allow=("npm:good", "npm:fine", "plain"), deny=("npm:bad",))
    assert [it.name for it in (await service.ask("fine", environment="node")).packages] == ["fine"]
    for name, detail in (("plain", "plain can't be had here"), ("good", "No set may hold bad")):
        problem = await service.ask(name, environment="node")
        assert problem.code == Code.PACKAGE_NOT_ALLOWED
        assert detail in problem.detail


async def test_a_registry_that_is_away(index: Index, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with serving() as gone:
        registry = gone.registry
    service = Service(index, tmp_path)
    service.settings = service.settings.model_copy(update={"registry": registry})
    service.open()
    problem = await service.ask("plain", environment="node")
    assert (problem.code, problem.retry_after) == (Code.PACKAGES_UNAVAILABLE, 10)
    assert "127.0.0.1" not in problem.detail
    assert "ECONNREFUSED" in caplog.text


async def test_a_tarball_whose_hash_differs(service: Service, index: Index) -> None:
    index.publish("forged", tarball({}, name="forged"), f"sha512-{'A' * 86}==")
    problem = await service.ask("forged", environment="node")
    assert problem.code == Code.PACKAGE_NOT_ALLOWED
    assert "SHA-512" in problem.detail
    assert (len(service.store), service.left_over()) == (0, [])


@pytest.mark.parametrize(
    "path",
    [
        *("package/../../../escaped.js", "/tmp/escaped.js", "package/a/../../escaped.js", "package/a\\..\\escaped.js"),
        *("package//b.js", "./package/a.js", "package/a\x07.js", "package/" + "a" * 300, "package/\udcff.js"),
    ],
)
def test_a_tarball_that_climbs_out(tmp_path: Path, path: str) -> None:
    problem = refused(tmp_path, tarball({path: "1"}, name="climbing"))
    assert problem.code == Code.PACKAGE_NOT_ALLOWED
    assert "is not the name of a file below its folder" in problem.detail
    assert [*tmp_path.rglob("escaped.js"), *Path(tempfile.gettempdir()).glob("escaped.js")] == []


def test_a_name_that_is_too_long_with_its_place(tmp_path: Path) -> None:
    """The copy services of a cluster would refuse it as the name of a set's file."""
    problem = refused(tmp_path, tarball({"package/" + "d/" * 450 + "x.js": ""}, name="x"), "y" * 150)
    assert (problem.code, "/d/d/d/" in problem.detail) == (Code.PACKAGE_NOT_ALLOWED, True)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, b"S"])
def test_a_tarball_with_what_is_no_file(tmp_path: Path, kind: bytes) -> None:
    entry = tarfile.TarInfo("package/link")
    entry.type, entry.linkname = kind, "package/package.json"
    problem = refused(tmp_path, tarball({"link": entry}, name="linking"))
    assert problem.code == Code.PACKAGE_NOT_ALLOWED
    assert "neither a file nor a folder" in problem.detail


@pytest.mark.parametrize("place", ["../escaped", "/tmp/escaped", "a/../../escaped", "", "a/./b"])
def test_a_place_is_below_the_folder_of_all_packages(tmp_path: Path, place: str) -> None:
    assert refused(tmp_path, tarball({}, name="x"), place).code == Code.PACKAGE_NOT_ALLOWED


async def test_a_name_that_climbs_out(service: Service, index: Index) -> None:
    index.module("climber", dependencies={"../../escaped": "npm:plain@1"})
    problem = await service.ask("climber", environment="node")
    assert problem.code == Code.PACKAGE_NOT_ALLOWED
    assert service.everywhere("escaped") == []


def test_a_tarball_that_unpacks_to_too_much(tmp_path: Path) -> None:
    content = tarball({f"package/{number}": bytes(MB) for number in range(6)}, name="bomb")
    assert refused(tmp_path, content).code == Code.PACKAGES_TOO_LARGE


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.DIRTYPE])
def test_a_tarball_with_too_many_files(tmp_path: Path, kind: bytes) -> None:
    entries = {str(number): tarfile.TarInfo(f"package/{number}") for number in range(101)}
    for entry in entries.values():
        entry.type = kind
    assert refused(tmp_path, tarball(entries, name="swarm")).code == Code.PACKAGES_TOO_LARGE


def with_a_long_header(kind: bytes) -> bytes:
    """A tarball whose header of this kind has a gigabyte, of which it holds 8 MB."""
    entry = tarfile.TarInfo("package/x")
    entry.type, entry.size = kind, 1024 * MB
    return gzip.compress(entry.tobuf() + bytes(8 * MB), 1)


def with_many_headers() -> bytes:
    """A tarball with headers that apply to all that follows, and nothing that does."""
    entry = tarfile.TarInfo("package/x")
    entry.type, entry.size = tarfile.XGLTYPE, 512
    return gzip.compress((entry.tobuf() + b"11 a=bcdef\n".ljust(512, b"\0")) * 20_000, 1)


DAMAGED = {
    "pax": with_a_long_header(tarfile.XHDTYPE),
    "global": with_a_long_header(tarfile.XGLTYPE),
    "long name": with_a_long_header(tarfile.GNUTYPE_LONGNAME),
    "many headers": with_many_headers(),
    "cut": gzip.compress(gzip.decompress(tarball({"package/a": bytes(9999)}, name="cut"))[:5000]),
    "half": tarball({"package/a": bytes(9999)}, name="half")[:100],
    "file as folder": tarball({"package/a": "", "package/a/b": ""}, name="both"),
    "no manifest": tarball({"package/index.js": ""}),
    "a list": tarball({"package/package.json": "[]"}),
    "no JSON": tarball({"package/package.json": "{"}),
    "deep JSON": tarball({"package/package.json": "[" * 100_000}),
    "scripts of another kind": tarball({}, name="odd", scripts=["install"]),
    "no archive": b"no archive",
    "no tar": gzip.compress(b"no archive"),
    "nothing": b"",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_tarball(tmp_path: Path, content: bytes) -> None:
    assert refused(tmp_path, content).code == Code.PACKAGE_NOT_ALLOWED


@pytest.mark.parametrize(("place", "folders"), [("x", 110), ("x/" * 60 + "x", 50)])
def test_a_tarball_with_too_many_folders(tmp_path: Path, place: str, folders: int) -> None:
    """One file may need hundreds of them, with those of its place."""
    problem = refused(tmp_path, tarball({"package/" + "d/" * folders + "x.js": ""}, name="x"), place)
    assert (problem.code, "too many folders" in problem.detail) == (Code.PACKAGES_TOO_LARGE, True)
