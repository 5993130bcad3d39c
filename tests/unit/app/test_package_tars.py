"""Tars of strangers: what is kept of them in memory."""

import io
import tarfile
import tracemalloc

import pytest

from app.packages.tars import entries

LENGTH = 100_000
FILES = 50


def with_headers(kind: bytes, files: int = FILES) -> io.BytesIO:
    """A tar of empty files, each with a header of this kind before it, whose keyword is another one each time."""
    made = io.BytesIO()
    for number in range(files):
        record = f"{LENGTH} a{number}=".encode()
        header = tarfile.TarInfo("header")
        header.type, header.size = kind, LENGTH
        content = record + b"x" * (LENGTH - len(record) - 1) + b"\n"
        made.write(header.tobuf() + content + bytes(-LENGTH % tarfile.BLOCKSIZE) + tarfile.TarInfo(f"{number}").tobuf())
    made.write(bytes(2 * tarfile.BLOCKSIZE))
    made.seek(0)
    return made


def test_the_headers_of_a_file_are_not_kept() -> None:
    tar = with_headers(tarfile.XHDTYPE)
    tracemalloc.start()
    try:
        names = [entry.name for entry, _ in entries(tar)]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert names == [str(number) for number in range(FILES)]
    assert peak < FILES * LENGTH / 4


def test_headers_that_apply_to_all_files_are_bounded_together() -> None:
    assert len(list(entries(with_headers(tarfile.XGLTYPE, files=5)))) == 5
    with pytest.raises(tarfile.ReadError, match="headers of all files"):
        list(entries(with_headers(tarfile.XGLTYPE)))
