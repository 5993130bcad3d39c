"""PID 1's parts that need no sandbox: the frames, the kernel's counters, and which files are given back."""

import os
from pathlib import Path

import pytest

from app.guest import results
from app.guest.cgroup import read_counters
from app.guest.frames import LONGEST, BadFrame, Frames, frame, join, pairs, split


@pytest.mark.parametrize("size", [1, 4, 5, 6, 7, 1000])
def test_frames_in_chunks_of_any_size(size: int) -> None:
    sent = [(b"J", b"{}"), (b"I", b""), (b"1", bytes(300)), (b"E", b"")]
    wire = b"".join(frame(*each) for each in sent)
    frames = Frames()
    assert [found for at in range(0, len(wire), size) for found in frames.feed(wire[at : at + size])] == sent


def test_a_frame_that_is_too_long_is_refused_by_its_header() -> None:
    with pytest.raises(BadFrame, match=str(LONGEST + 1)):
        list(Frames().feed(b"1" + (LONGEST + 1).to_bytes(4)))


def test_counters_of_cgroup_v2(tmp_path: Path) -> None:
    (tmp_path / "cgroup.controllers").write_text("cpu memory pids\n")
    (tmp_path / "cpu.stat").write_text("usage_usec 1500000\nuser_usec 1000000\n")
    (tmp_path / "memory.peak").write_text("4096\n")
    (tmp_path / "memory.events").write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    (tmp_path / "pids.events").write_text("max 7\n")
    assert read_counters(str(tmp_path)) == {
        "cpu_time": pytest.approx(1.5),
        "memory_peak": 4096,
        "oom_kills": 2,
        "pids_refused": 7,
    }


def test_counters_of_cgroup_v1(tmp_path: Path) -> None:
    for path, content in {
        "cpuacct/cpuacct.usage": "1500000000\n",
        "memory/memory.max_usage_in_bytes": "4096\n",
        "memory/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
        "pids/pids.events": "max 7\n",
    }.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_text(content)
    assert read_counters(str(tmp_path)) == {
        "cpu_time": pytest.approx(1.5),
        "memory_peak": 4096,
        "oom_kills": 2,
        "pids_refused": 7,
    }


def test_counters_that_the_kernel_does_not_offer(tmp_path: Path) -> None:
    assert set(read_counters(str(tmp_path)).values()) == {None}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(results, "FOLDER", str(tmp_path / "results"))
    (tmp_path / "results").mkdir()
    return tmp_path / "results"


def test_files_that_a_pattern_names_are_given_back(folder: Path) -> None:
    for name in ("b.png", "a.png", "c.txt"):
        (folder / name).write_text(name)
    assert list(results.collect(["*.png", "none"], 8, 1024)) == [
        ("none", "There is no such file."),
        ("a.png", b"a.png"),
        ("b.png", b"b.png"),
    ]


def test_only_plain_files_with_one_name(folder: Path) -> None:
    (folder / "link").symlink_to("/etc/passwd")
    (folder / "hard").write_text("x")
    os.link(folder / "hard", folder.parent / "other")
    os.mkfifo(folder / "pipe")
    (folder / "folder").mkdir()
    assert list(results.collect(["*"], 8, 1024)) == [
        ("folder", "It is not a plain file."),
        ("hard", "It has other names."),
        ("link", "It can't be read: Too many levels of symbolic links."),
        ("pipe", "It is not a plain file."),
    ]


def test_number_and_size_are_bounded(folder: Path) -> None:
    for name, size in {"a": 6, "b": 5, "c": 4, "d": 1}.items():
        (folder / name).write_bytes(bytes(size))
    assert list(results.collect(["*"], 3, 10)) == [
        ("d", "More than 3 files."),
        ("a", bytes(6)),
        ("b", "It has 5 bytes; 4 are left for it."),
        ("c", bytes(4)),
    ]


def test_a_folder_that_is_a_link_is_none(folder: Path) -> None:
    folder.rmdir()
    folder.symlink_to("/etc")
    ((name, reason),) = results.collect(["*"], 8, 1024)
    assert (name, isinstance(reason, str)) == (results.FOLDER, True)


def test_texts_survive_the_wire() -> None:
    assert split(join("main.py", "", "zwei Wörter\n", "")) == ["main.py", "", "zwei Wörter\n", ""]
    assert pairs(join("exit_code", "0", "signal", "SIGKILL")) == {"exit_code": "0", "signal": "SIGKILL"}
    assert pairs(b"") == {}


@pytest.mark.parametrize("payload", [b"name", b"a\0b\0c", b"\xff\0x"])
def test_what_is_not_pairs_of_texts_is_refused(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        pairs(payload)
