"""The visitor's page and the API's documentation: files that frontend/ has built, held in memory."""

import gzip
import hashlib
import mimetypes
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

Endpoint = Callable[[Request], Awaitable[Response]]

PAGE = Path(__file__).parent / "page"

_INDEX = "index.html"
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@dataclass(frozen=True)
class StaticFile:
    """One file, as it is answered."""

    content: bytes
    compressed: bytes
    media_type: str
    etag: str
    """Of the content: the same in every replica, and after a restart. Weak, as one holds for both encodings."""


def page_files(folder: Path) -> Mapping[str, Endpoint]:
    """What answers GET for each file of the folder, by path: index.html at /, others without .html."""
    return {
        "/" if path.name == _INDEX else f"/{path.name.removesuffix('.html')}": _serve(_read(path))
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def _read(path: Path) -> StaticFile:
    content = path.read_bytes()
    media_type, _ = mimetypes.guess_type(path.name)
    return StaticFile(
        content=content,
        compressed=gzip.compress(content),
        media_type=media_type or "application/octet-stream",
        etag=f'W/"{hashlib.sha256(content).hexdigest()[:32]}"',
    )


def _serve(file: StaticFile) -> Endpoint:
    # The names are stable, so a browser asks each time whether its copy is still good: mostly a 304.
    headers = {"Cache-Control": "no-cache", "ETag": file.etag, "Vary": "Accept-Encoding", **_SECURITY}

    async def serve(request: Request) -> Response:
        if file.etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return Response(
                file.compressed, media_type=file.media_type, headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(file.content, media_type=file.media_type, headers=headers)

    return serve
