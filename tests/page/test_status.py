"""The status page in a browser: of a stack without Prometheus, with an incident whose text attacks the page,
and with planned work."""

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.page.browser import Page
from tests.page.conftest import NOTICE

LATER = "const now = Date.now; Date.now = () => now() + 11 * 60 * 1000;"


@pytest.fixture
def status(browser: Chrome, page_url: str) -> Iterator[Page]:
    page = Page(browser, page_url.replace("localhost", "status.localhost"))
    browser.get("about:blank")
    page.traffic()
    browser.get(page.url)
    yield page
    traffic = page.traffic()
    assert traffic.elsewhere(page.url) == []
    assert traffic.errors == ()


def shown(page: Page, selector: str) -> list[str]:
    return [it.text for it in page.browser.find_elements(By.CSS_SELECTOR, selector) if it.is_displayed()]


def test_an_incident_is_shown_as_text_and_plain_links(status: Page) -> None:
    assert shown(status, "h1") == ["Status of localhost"]
    assert shown(status, ".banner") == ["An incident or planned work is under way."]
    assert shown(status, "#slow h3") == ["Slow <script>alert(1)</script>"]
    (text,) = shown(status, "#slow > div")
    assert "<img src=x onerror=alert(1)>" in text
    assert "moving" in shown(status, "article strong")
    links = [it.get_attribute("href") for it in status.browser.find_elements(By.CSS_SELECTOR, "article a")]
    assert links == ["https://provider.example/", "https://provider.example/pixel.png"]
    assert NOTICE.count("javascript:") == 1
    assert len(status.browser.find_elements(By.CSS_SELECTOR, ".days li")) == 90
    # The style applies, although the policy of the page allows nothing but what it has itself.
    assert status.script("return getComputedStyle(document.querySelector('.days')).display") == "flex"


def test_planned_work_is_shown_ahead(status: Page) -> None:
    assert shown(status, "h2")[:2] == ["Open now", "Planned"]
    assert shown(status, "#disk h3") == ["Another disk"]
    assert shown(status, "#disk small") == ["Planned work, ahead: from 2099-01-01 22:00, until 2099-01-01 23:30."]


def test_a_page_that_nobody_writes_says_so(status: Page) -> None:
    stale = "This page is out of date: nothing has written it for 10 minutes."
    assert stale not in shown(status, ".banner")
    added = status.browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": LATER})
    try:
        status.browser.get(status.url)
        assert stale in shown(status, ".banner")
    finally:
        status.emulate("Page.removeScriptToEvaluateOnNewDocument", **added)
