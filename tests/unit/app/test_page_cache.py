"""Which files of a root file system are read ahead, and that they are read."""

import os
from pathlib import Path

import pytest

from app.executor import page_cache

_MB = 1024 * 1024


def _file(place: Path, content: bytes = b"#!/bin/sh\n") -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(content)
    return place


def test_a_command_is_found_where_its_root_has_it(tmp_path: Path) -> None:
    node, ruby = _file(tmp_path / "usr/local/bin/node"), _file(tmp_path / "usr/bin/ruby3.3")
    (tmp_path / "usr/bin/ruby").symlink_to("ruby3.3")
    script = _file(tmp_path / "opt/run-sql")
    found = [page_cache.program(tmp_path, command) for command in ("node", "ruby", "/opt/run-sql", "python3")]
    assert [it and it.resolve() for it in found] == [node, ruby, script, None]


def test_a_link_that_leads_out_of_the_root_is_not_followed(tmp_path: Path) -> None:
    _file(tmp_path / "host/python3")
    (tmp_path / "root/usr/bin").mkdir(parents=True)
    (tmp_path / "root/usr/bin/python3").symlink_to(tmp_path / "host/python3")
    assert page_cache.program(tmp_path / "root", "python3") is None


def test_a_large_file_is_forgotten_and_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = [_file(tmp_path / "bash"), _file(tmp_path / "node", bytes(16 * _MB + 1))]
    did: list[object] = []

    def read(descriptor: int, most: int) -> bytes:
        did.append(len(data := os_read(descriptor, most)))
        return data

    os_read = os.read
    monkeypatch.setattr("os.posix_fadvise", lambda _, *how: did.append(how))
    monkeypatch.setattr("os.read", read)
    page_cache.renew(files)
    assert did == [(0, 0, os.POSIX_FADV_DONTNEED), *[_MB] * 16, 1, 0]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="missing"):
        page_cache.renew([tmp_path / "missing"])
