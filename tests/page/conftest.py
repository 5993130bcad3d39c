"""Fixtures: one Chromium for all tests, and the page of a real stack."""

import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome

from app.environments import ENVIRONMENTS
from tests.page.browser import Page, start
from tests.stacks import StackFactory
from tools.build import npm
from tools.console.steps import Report
from tools.machine import docker_bridge
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.measure.package_index import Index, serving
from tools.stack import health
from tools.stack.config import ONLY_CORE

NOTICE = """+++
title = "Slow <script>alert(1)</script>"
begins = 2026-01-01T10:00:00Z
affects = ["</small><script>alert(2)</script>"]
+++
We are **moving** to [another disk](https://provider.example/). <img src=x onerror=alert(1)>
[Not a link](javascript:alert(3)) ![not fetched](https://provider.example/pixel.png)
"""

WORK = """+++
title = "Another disk"
begins = 2099-01-01T22:00:00Z
ends = 2099-01-01T23:30:00Z
planned = true
+++
We are moving then.
"""


def _program(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.fail(f"{name} is not on PATH. On Debian and Ubuntu: apt-get install {package}", pytrace=False)
    return path


@pytest.fixture(scope="session")
def embedder() -> str:
    """Origin of a site that embeds the sandbox; it is an allowed origin of the API."""
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="session")
def axe(prepared: Preparation, report: Report) -> str:
    """The source of axe."""
    folder = npm.fetch(Path(__file__).parent / npm.LOCK, prepared.engine.architecture(), report)
    with tarfile.open(next(folder.glob("axe-core-*.tgz"))) as archive:
        file = archive.extractfile("package/axe.min.js")
        assert file
        return file.read().decode()


@pytest.fixture(scope="session")
def index(prepared: Preparation) -> Iterator[Index]:
    """The index of the stack's packages, with those that the client's tour asks for."""
    with serving(docker_bridge.address(prepared.engine.client())) as found:
        found.package("six")
        found.module("is-number")
        yield found


@pytest.fixture(scope="session")
def sandbox(embedder: str, index: Index) -> dict[str, object]:
    """Every environment, packages, rooms, and limits above what these tests need."""
    return {
        "environments": list(ENVIRONMENTS),
        "requests_per_minute": 150,
        "allowed_origins": [embedder],
        "packages": {"index": index.url, "registry": index.registry},
        "rooms": {"rooms_of_client": 100},
    }


@pytest.fixture(scope="session")
def page_url(
    new_stack: StackFactory,
    prepared: Preparation,
    report: Report,
    sandbox: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
) -> str:
    """URL of a stack's API. Its status page tells of an incident, and of work that is planned."""
    port = free_port()
    notices = tmp_path_factory.mktemp("notices")
    (notices / "slow.md").write_text(NOTICE)
    (notices / "disk.md").write_text(WORK)
    stack = new_stack(
        edge={"http_port": port},
        services={**ONLY_CORE, "status": {"notices": str(notices)}},
        sandbox=sandbox,
    )
    stack.up(report)
    health.wait(prepared.engine, stack.prefix, f"http://localhost:{port}", report)
    return f"http://localhost:{port}"


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    chromium, driver = _program("chromium", "chromium"), _program("chromedriver", "chromium-driver")
    started = start(chromium, driver, tmp_path_factory.mktemp("chromium"))
    yield started
    started.quit()


@pytest.fixture
def page(browser: Chrome, page_url: str) -> Iterator[Page]:
    """The page. A test fails if the page sent a request to another origin, or logged an error."""
    page = Page(browser, page_url)
    browser.get("about:blank")
    page.traffic()
    yield page
    traffic = page.traffic()
    page.emulate("Emulation.clearDeviceMetricsOverride")
    page.emulate("Emulation.setEmulatedMedia", features=[])
    assert traffic.elsewhere(page_url) == []
    assert traffic.errors == ()
