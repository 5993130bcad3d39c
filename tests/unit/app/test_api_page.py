"""The page at /, the documentation, and no other files."""

from pathlib import Path

import pytest

from app.api.page_files import PAGE, page_files
from tests.unit.app.fake_executor import FakeExecutor
from tests.unit.app.fake_visitor import api

pytestmark = pytest.mark.anyio


async def test_the_page_is_served_with_security_headers(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        response = await client.get("/")
        script = await client.get("/page.js")
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (PAGE / "index.html").read_bytes()
    assert script.content == (PAGE / "page.js").read_bytes()
    assert script.headers["content-type"].startswith("text/javascript")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_current_copy_is_answered_with_304(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        first = await client.get("/page.js")
        again = await client.get("/page.js", headers={"If-None-Match": first.headers["etag"]})
        other = await client.get("/page.js", headers={"If-None-Match": 'W/"0"'})
    assert first.headers["cache-control"] == "no-cache"
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert other.status_code == 200


async def test_files_are_compressed_for_clients_that_accept_gzip(executor: FakeExecutor) -> None:
    async with api(executor) as client:
        small = await client.get("/page.js", headers={"Accept-Encoding": "gzip"})
        plain = await client.get("/page.js", headers={"Accept-Encoding": "identity"})
        refusing = await client.get("/page.js", headers={"Accept-Encoding": "gzip;q=0, *;q=0.1"})
    assert "content-encoding" not in refusing.headers
    assert int(small.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert small.content == plain.content
    assert "Accept-Encoding" in small.headers["vary"]


@pytest.mark.parametrize(
    "path", ["/index.html", "/docs.html", "/page", "/../server.py", "/%2e%2e/server.py", "/server.py", "/metrics"]
)
async def test_other_paths_are_not_found(executor: FakeExecutor, path: str) -> None:
    async with api(executor) as client:
        response = await client.get(path)
    assert response.status_code == 404
    assert response.json()["code"] == "not_found"


def test_only_files_have_routes(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "docs.html").write_text("x")
    (tmp_path / "docs.css").write_text("x")
    assert set(page_files(tmp_path)) == {"/", "/docs", "/docs.css"}
