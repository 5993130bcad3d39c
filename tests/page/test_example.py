"""frontend-integration/example.html, served from another origin than the API."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.keys import Keys

from tests.page.browser import Page
from tools.paths import ROOT

EXAMPLE = (ROOT / "frontend-integration" / "example.html").read_text(encoding="utf-8")
ADDRESS = '"http://localhost:8000"'


@contextmanager
def served(html: str, origin: str) -> Iterator[None]:
    """Serve a page at `origin`."""

    class Site(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/"
            self.send_response(200 if found else 204)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            if found:
                self.wfile.write(html.encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    address = urlsplit(origin)
    with ThreadingHTTPServer((address.hostname or "", address.port or 80), Site) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def example(browser: Chrome, page_url: str, embedder: str) -> Iterator[Page]:
    assert EXAMPLE.count(ADDRESS) == 1
    with served(EXAMPLE.replace(ADDRESS, f'"{page_url}"'), embedder):
        browser.get(f"{embedder}/")
        yield Page(browser, embedder)
        browser.get("about:blank")


def test_a_page_of_another_origin_runs_code(example: Page) -> None:
    example.find("run").click()
    example.ends("success in ")
    assert example.output == "Hello from a page of yours\n"


def test_output_is_shown_as_text(example: Page) -> None:
    example.find("code").send_keys(Keys.CONTROL, "a", Keys.NULL, "print('<img src=x onerror=hacked=1>')")
    example.find("run").click()
    example.ends("success in ")
    assert example.output == "<img src=x onerror=hacked=1>\n"
    assert example.script("return window.hacked") is None


def test_the_status_gives_the_reason_of_a_refusal(example: Page) -> None:
    example.find("code").send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE)
    example.find("run").click()
    example.wait(lambda: "empty" in example.status, "the reason in the status")
