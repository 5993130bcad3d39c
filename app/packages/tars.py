"""Reads tars of strangers: what tarfile takes into memory is bounded."""

import io
import tarfile
from collections.abc import Iterator
from typing import IO

_MOST_HEADERS = 1024 * 1024
"""Bytes of the headers before one file, and of those that apply to all that follows. tarfile has them in memory."""


class _Tar(io.BufferedReader):
    """A tar. `headers` is what may still be read of it as headers, None while a file is read."""

    headers: int | None = _MOST_HEADERS

    def read(self, size: int | None = -1) -> bytes:
        if self.headers is not None:
            self.headers -= _MOST_HEADERS + 1 if size is None or size < 0 else size
            if self.headers < 0:
                raise tarfile.ReadError("the headers are too long")
        return super().read(size)


def entries(tar: io.RawIOBase | io.BufferedIOBase) -> Iterator[tuple[tarfile.TarInfo, IO[bytes] | None]]:
    """The entries of a tar, which is read once and closed, each with its content: None for what is no plain file.

    Raises:
        tarfile.TarError, OverflowError, ValueError: it is none. What a compressed one raises comes on top.
    """
    with _Tar(tar) as stream, tarfile.open(fileobj=stream, mode="r:") as found:
        while entry := found.next():
            if sum(len(name) + len(value) for name, value in found.pax_headers.items()) > _MOST_HEADERS:
                raise tarfile.ReadError("the headers of all files are too long")
            content = found.extractfile(entry) if entry.isfile() and not entry.issparse() else None
            stream.headers = None
            yield entry, content
            # tarfile would keep all entries with their headers until the end. getmembers() would read them first.
            found.members.clear()  # type: ignore[attr-defined]
            stream.headers = _MOST_HEADERS
