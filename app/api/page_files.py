"""The visitor's page and the API's documentation: files that frontend/ has built, held in memory."""

import gzip
import hashlib
import mimetypes
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response

from app.api.operation import HttpEndpoint
from app.wire.media import preferred

PAGE = Path(__file__).parent / "page"

_INDEX = "index.html"
_GZIP = "gzip"
_SECURITY = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
}


@cache
def page_files(folder: Path) -> Mapping[str, HttpEndpoint]:
    """The endpoint of each file of the folder, by path: index.html is at /, and other pages have no .html.

    The files are read and compressed once.
    """
    return {
        "/" if path.name == _INDEX else f"/{path.name.removesuffix('.html')}": _serve(path)
        for path in sorted(folder.iterdir())
        if path.is_file()
    }


def _serve(path: Path) -> HttpEndpoint:
    content = path.read_bytes()
    compressed = gzip.compress(content)
    media_type = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    # A hash of the content, so that it is the same in every process. Weak, because both codings share it.
    etag = f'W/"{hashlib.sha256(content).hexdigest()[:32]}"'
    # The names never change, so a browser has to ask each time whether its copy is current. Mostly the answer is 304.
    headers = {"Cache-Control": "no-cache", "ETag": etag, "Vary": "Accept-Encoding", **_SECURITY}

    async def serve(request: Request) -> Response:
        if etag in request.headers.get("If-None-Match", ""):
            return Response(status_code=304, headers=headers)
        if preferred(request.headers.get("Accept-Encoding", ""), ("identity", _GZIP)) == _GZIP:
            return Response(compressed, media_type=media_type, headers={**headers, "Content-Encoding": _GZIP})
        return Response(content, media_type=media_type, headers=headers)

    return serve
