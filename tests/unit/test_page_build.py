"""What is committed in app/api/page/ was built from the sources in frontend/, and nothing in it is by hand."""

import base64
import hashlib
import json
import re
from pathlib import Path

from tools.paths import ROOT

SOURCES = ROOT / "frontend"
BUILT = ROOT / "app" / "api" / "page"
AGAIN = "run `npm ci && npm run build` in frontend/"


def hash_of_sources() -> str:
    """As frontend/build.js computes it: over each source's path, a NUL, its size in bytes, a NUL, and its bytes."""
    files = [path for path in SOURCES.rglob("*") if path.is_file() and "node_modules" not in path.parts]
    digest = hashlib.sha256()
    for name, path in sorted((path.relative_to(SOURCES).as_posix(), path) for path in files):
        content = path.read_bytes()
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()


def integrity(path: Path) -> str:
    return "sha384-" + base64.b64encode(hashlib.sha384(path.read_bytes()).digest()).decode()


def test_the_committed_page_was_built_from_these_sources() -> None:
    html = (SOURCES / "index.html").read_text(encoding="utf-8")
    (chunk,), (room,) = (list(BUILT.glob(pattern)) for pattern in ("chunk-*.js", "room-*.js"))
    for mark, value in (
        ("{{sources}}", hash_of_sources()),
        ("{{chunk}}", chunk.name),
        ("{{chunk-integrity}}", integrity(chunk)),
        ("{{room-integrity}}", integrity(room)),
        ("{{script-integrity}}", integrity(BUILT / "page.js")),
        ("{{style-integrity}}", integrity(BUILT / "page.css")),
        ("{{docs-integrity}}", integrity(BUILT / "docs.html")),
    ):
        assert mark in html
        html = html.replace(mark, value)
    assert (BUILT / "index.html").read_text(encoding="utf-8") == html, f"the page is not up to date: {AGAIN}"
    assert f'href="docs.css" integrity="{integrity(BUILT / "docs.css")}"' in (BUILT / "docs.html").read_text()
    names = {"index.html", "page.js", chunk.name, room.name, "page.css", "docs.html", "docs.css", "openapi.json"}
    assert {path.name for path in BUILT.iterdir()} == names


def test_the_openapi_document_that_is_served_is_the_one_that_was_rendered() -> None:
    served, rendered = (json.loads((folder / "openapi.json").read_text()) for folder in (BUILT, SOURCES))
    assert served == rendered, AGAIN


def test_what_only_a_room_needs_is_not_loaded_with_the_page() -> None:
    loaded = "".join(path.read_text() for path in BUILT.glob("*.js") if not path.name.startswith("room-"))
    assert "yjs 13." not in loaded
    assert "y-websocket" not in loaded


def test_the_page_names_no_other_host() -> None:
    # The other one is in a warning of Yjs.
    namespaces = {"http://www.w3.org/2000/svg", "https://github.com/yjs/yjs/issues/438"}
    for path in BUILT.iterdir():
        found = set(re.findall(r"""https?://[^\s"'`<>)]+""", path.read_text(encoding="utf-8")))
        assert found <= namespaces, (path.name, found)


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (SOURCES / "package-lock.json").read_text(encoding="utf-8")
