"""A Chromium for the whole run, and the page of a running platform.

VPS_PAGE_URL is the address of the API under test, with room for some 60 executions a minute from one client.
VPS_PAGE_EMBEDDER is an origin on this machine's loopback address that the API allows (API_ALLOWED_ORIGINS): the
tests serve frontend-integration/example.html there.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome

from tests.page.browser import Page, start


def _variable(name: str) -> str:
    value = os.environ.get(name)
    if not value:
        pytest.fail(f"{name} is not set: `make test` sets it; see tests/page/conftest.py", pytrace=False)
    return value


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not on PATH. On Debian and Ubuntu: apt-get install {package}", pytrace=False)
    return path


@pytest.fixture(scope="session")
def page_url() -> str:
    """Address of the API that serves the page."""
    return _variable("VPS_PAGE_URL").rstrip("/")


@pytest.fixture(scope="session")
def embedder() -> str:
    """Origin of a site that embeds the sandbox, such as http://127.0.0.1:18999."""
    return _variable("VPS_PAGE_EMBEDDER").rstrip("/")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    chromium, driver = _program("chromium", "chromium"), _program("chromedriver", "chromium-driver")
    started = start(chromium, driver, tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


@pytest.fixture
def page(browser: Chrome, page_url: str) -> Iterator[Page]:
    """The page; after each test nothing may have left its origin, and its console must be free of errors."""
    page = Page(browser, page_url)
    browser.get("about:blank")
    page.traffic()
    yield page
    traffic = page.traffic()
    page.emulate("Emulation.clearDeviceMetricsOverride")
    page.emulate("Emulation.setEmulatedMedia", features=[])
    assert traffic.elsewhere(page_url) == []
    assert traffic.errors == ()
