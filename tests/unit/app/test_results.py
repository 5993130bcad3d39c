"""Result files out of a folder that hostile code has filled."""

import base64
import os
import socket
import time
from pathlib import Path

import pytest

from app.executor.results import collect
from app.profile import FLOOR, SandboxProfile
from app.wire.protocol import ResultFile

KB = 1024


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The results' folder in a sandbox's /tmp."""
    results = tmp_path / "results"
    results.mkdir()
    return results


def collected(
    folder: Path, *patterns: str, profile: SandboxProfile = FLOOR
) -> tuple[dict[str, bytes], tuple[str, ...]]:
    """The contents of the results by file name, and the warnings."""
    files, warnings = collect(folder.parent, patterns or ("*",), profile)
    assert all(file.size == len(base64.b64decode(file.content)) for file in files)
    return {file.name: base64.b64decode(file.content) for file in files}, warnings


def test_nothing_is_read_when_nothing_is_asked_for(tmp_path: Path) -> None:
    assert collect(tmp_path / "no-such-folder", None, FLOOR) == ((), ())


@pytest.mark.parametrize("asked", [None, ("a.txt",), ("*",), ("show-1.png",)])
def test_pictures_are_given_back_whether_or_not_they_are_asked_for(folder: Path, asked: tuple[str, ...] | None) -> None:
    for name in ("a.txt", "show-1.png", "show-2.png"):
        (folder / name).write_text(name)
    files, warnings = collect(folder.parent, asked, FLOOR, "show-*.png")
    others = ["a.txt"] if asked and asked[0] in ("a.txt", "*") else []
    assert ([file.name for file in files], warnings) == ([*others, "show-1.png", "show-2.png"], ())


def test_no_picture_is_no_warning(tmp_path: Path) -> None:
    assert collect(tmp_path, None, FLOOR, "show-*.png") == ((), ())
    (tmp_path / "results").symlink_to("/etc")
    assert collect(tmp_path, None, FLOOR, "show-*.png") == ((), ())


def test_plain_files_that_a_pattern_names_are_given_back_in_the_order_of_their_names(folder: Path) -> None:
    for name in ("b.txt", "a.txt", "c.csv"):
        (folder / name).write_bytes(name.encode())
    files, warnings = collect(folder.parent, ("*.txt", "a.txt", "c.csv"), FLOOR)
    assert [file.name for file in files] == ["a.txt", "b.txt", "c.csv"]
    assert files[0] == ResultFile(name="a.txt", content="YS50eHQ=", size=5)
    assert warnings == ()


def test_a_star_is_the_only_wildcard(folder: Path) -> None:
    for name in ("a[1].txt", "a1.txt", "a?.txt", "[ab]"):
        (folder / name).touch()
    assert collected(folder, "a[1].txt")[0].keys() == {"a[1].txt"}
    assert collected(folder, "a?.txt")[0].keys() == {"a?.txt"}
    assert collected(folder, "a[*")[0].keys() == {"a[1].txt"}
    assert collected(folder, "[ab]")[0].keys() == {"[ab]"}


@pytest.mark.parametrize("name", ["link", "dangling", "twice", "loop", "folder link", "fifo", "socket", "folder"])
def test_what_is_no_plain_file_is_refused_and_never_waited_for(
    folder: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.write_text("secret")
    monkeypatch.chdir(folder)  # The path of a Unix socket has at most 107 bytes.
    (folder / "link").symlink_to(outside)
    (folder / "dangling").symlink_to("nowhere")
    (folder / "twice").symlink_to("link")
    (folder / "loop").symlink_to("loop")
    (folder / "folder link").symlink_to("/etc")
    os.mkfifo(folder / "fifo")
    (folder / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket")
        assert collected(folder, name) == ({}, (f"results: {name}: It is not a plain file.",))


def test_a_file_with_another_name_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("x")
    (folder / "hard").hardlink_to(tmp_path / "elsewhere")
    assert collected(folder) == ({}, ("results: hard: It has other names.",))


@pytest.mark.parametrize("target", ["/etc", "..", "."])
def test_a_folder_that_is_a_link_gives_nothing(tmp_path: Path, target: str) -> None:
    (tmp_path / "results").symlink_to(target)
    files, (warning,) = collect(tmp_path, ("*", "passwd"), FLOOR)
    assert files == ()
    assert warning == "results: the folder can't be read: Too many levels of symbolic links."


def test_a_folder_that_is_missing_or_a_file_gives_nothing(tmp_path: Path) -> None:
    assert collect(tmp_path, ("*",), FLOOR) == ((), ("results: the folder can't be read: No such file or directory.",))
    (tmp_path / "results").write_text("x")
    assert collect(tmp_path, ("*",), FLOOR) == ((), ("results: the folder can't be read: Not a directory.",))


def test_a_huge_file_is_refused_by_its_size(folder: Path) -> None:
    with (folder / "huge").open("wb") as huge:
        huge.truncate(2**40)
    (folder / "small").write_text("x")
    files, warnings = collected(folder)
    assert files == {"small": b"x"}
    assert warnings == (f"results: huge: It has {2**40} bytes; {FLOOR.result_kb * KB} are left for it.",)


def test_all_files_together_have_a_size(folder: Path) -> None:
    for name, size in (("a", KB - 10), ("b", 11), ("c", 10), ("d", 0), ("e", 1)):
        (folder / name).write_bytes(bytes(size))
    files, warnings = collected(folder, profile=SandboxProfile(result_kb=1))
    assert {name: len(content) for name, content in files.items()} == {"a": KB - 10, "c": 10, "d": 0}
    assert warnings == (
        "results: b: It has 11 bytes; 10 are left for it.",
        "results: e: It has 1 bytes; 0 are left for it.",
    )


def test_a_number_of_files_is_given_back(folder: Path) -> None:
    for number in range(FLOOR.result_files + 2):
        (folder / f"{number:02}").touch()
    files, warnings = collected(folder)
    assert sorted(files) == [f"{number:02}" for number in range(FLOOR.result_files)]
    assert warnings == tuple(f"results: {number:02}: More than 8 files." for number in (8, 9))


def test_warnings_are_bounded_in_number_and_length(folder: Path) -> None:
    names = [f"{number:0255}" for number in range(900)]
    for name in names:
        (folder / name).mkdir()
    _, warnings = collected(folder)
    assert warnings[0] == f"results: {names[0]}: It is not a plain file."
    assert (len(warnings), warnings[-1]) == (21, "results: 880 more files are not given back.")
    assert len("".join(warnings)) < 8192


def test_a_file_is_found_by_its_name_among_many(folder: Path) -> None:
    for number in range(5000):
        (folder / f"{number}-{'x' * 200}").touch()
    (folder / "wanted.txt").write_text("x")
    assert collected(folder, "wanted.txt") == ({"wanted.txt": b"x"}, ())


@pytest.mark.parametrize("name", [b"\xff", b"\n", b"*", b"a" * 255, "é".encode(), b"\x1b[2J", b"..."])
def test_odd_names_are_given_back_as_text(folder: Path, name: bytes) -> None:
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("x")
    assert collected(folder) == ({name.decode(errors="replace"): b"x"}, ())


def test_a_missing_file_is_named(folder: Path) -> None:
    assert collected(folder, "a.txt", "b*") == (
        {},
        ("results: a.txt: There is no such file.", "results: b*: There is no such file."),
    )


def test_patterns_of_many_stars_take_no_time(folder: Path) -> None:
    for number in range(1000):
        (folder / ("a" * 200 + str(number))).touch()
    started = time.monotonic()
    files, _ = collected(folder, *("*a" * 120 + "b",) * 32)
    assert files == {}
    assert time.monotonic() - started < 5
