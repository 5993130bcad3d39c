"""The page after the visitor reached the rate limit. It lasts a minute, so this file runs last."""

import time

import httpx
import pytest

from tests.page.browser import Page

PATIENCE = 90
"""Seconds in which the limit must be reached."""
ROOM = 5
"""Seconds that the refusals must last from then, so that the page meets one."""


@pytest.fixture
def used_up(page_url: str) -> None:
    """Reach the rate limit of this machine's address, with requests that are refused and need no sandbox."""
    deadline = time.monotonic() + PATIENCE
    with httpx.Client(base_url=page_url, trust_env=False) as client:
        while time.monotonic() < deadline:
            answer = client.post("/execute", json={"environment": "python", "code": ""})
            if answer.status_code == 429:
                if int(answer.headers["Retry-After"]) > ROOM:
                    return
                time.sleep(0.1)
    pytest.fail(f"no rate limit within {PATIENCE} s: start the API under test with fewer executions a minute")


@pytest.mark.usefixtures("used_up")
def test_the_status_says_when_to_try_again(page: Page) -> None:
    page.run("python", "print(1)")
    page.ends("At most 150 executions a minute are allowed for one address. Try again in ")
    seconds = int(page.status.rpartition(" in ")[2].removesuffix(" s."))
    assert 0 < seconds <= 60
    assert page.output == ""
    assert page.find("run").is_enabled()
