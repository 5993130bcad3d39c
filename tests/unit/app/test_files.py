"""The visitor's files in a sandbox's /tmp, whatever they are called."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.executor.files import Folder

USER = 1234


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[int, int]]:
    """User and group by the name of what was given to them. A test's own user may not give files away."""
    given: dict[str, tuple[int, int]] = {}
    monkeypatch.setattr(os, "chown", lambda place, user, group: given.update({Path(place).name: (user, group)}))
    return given


@pytest.fixture
def folder(tmp_path: Path, owned: Mapping[str, tuple[int, int]]) -> Folder:
    assert owned == {}
    return Folder(tmp_path, USER)


def contents(folder: Folder) -> dict[str, bytes]:
    files = (found for found in folder.place.rglob("*") if found.is_file())
    return {str(found.relative_to(folder.place)): found.read_bytes() for found in files}


def test_files_and_their_folders_belong_to_the_sandboxs_user(folder: Folder, owned: dict[str, tuple[int, int]]) -> None:
    sources = {"main.py": b"1", "a/b/c.txt": b"2", "a/d.txt": b""}
    folder.write_all(sources)
    folder.make_results()
    assert contents(folder) == sources
    assert owned == dict.fromkeys(("main.py", "a", "b", "c.txt", "d.txt", "results"), (USER, USER))
    assert (folder.place / "results").is_dir()


def test_files_of_the_visitor_may_lie_in_the_results_folder(folder: Folder) -> None:
    folder.write_all({"results/in.csv": b"1,2"})
    folder.make_results()
    assert contents(folder) == {"results/in.csv": b"1,2"}


def test_a_script_takes_the_place_of_the_fifo_that_is_waited_at(folder: Folder, tmp_path: Path) -> None:
    folder.make_fifo("main.py")
    assert stat.S_ISFIFO((tmp_path / "main.py").stat().st_mode)
    folder.replace("main.py", b"print(1)")
    assert contents(folder) == {"main.py": b"print(1)"}


def test_a_visitors_file_may_have_any_name_beside_the_script(folder: Folder, tmp_path: Path) -> None:
    folder.make_fifo("main.py")
    folder.replace("main.py", b"print(1)")
    names = {name: name.encode() for name in (".main.py.new", "main.py.new", "main", "é.txt", "a" * 255)}
    folder.write_all(names)
    assert contents(folder) == {"main.py": b"print(1)", **names}
