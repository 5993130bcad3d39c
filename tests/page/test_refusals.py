"""The page after the visitor reached the rate limit. It lasts a minute, so this file runs last."""

import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from tests.page.browser import Page

PATIENCE = 90
"""Seconds in which the limit must be reached."""
ROOM = 5
"""Seconds that the refusals must last from then, so that the page meets one."""
WINDOW = 60
"""Seconds after which the executions of the tests before count no more."""


@pytest.fixture
def used_up(page_url: str) -> None:
    """Reach the rate limit of this machine's address, with requests that are refused and need no sandbox."""
    nothing = {"environment": "python", "code": ""}
    deadline = time.monotonic() + PATIENCE
    with httpx.Client(base_url=page_url, trust_env=False, timeout=PATIENCE) as client, ThreadPoolExecutor() as visitors:
        while time.monotonic() < deadline:
            answers = list(visitors.map(lambda _: client.post("/execute", json=nothing), range(20)))
            seconds = max(int(answer.headers.get("Retry-After", 0)) for answer in answers)
            if seconds > ROOM:
                return
            # The executions of the tests before leave the window one by one, and so would those that take their places:
            # wait until all have left. The edge has a limit too, which the page's own files must not meet.
            time.sleep(WINDOW if seconds else 0)
    pytest.fail(f"no rate limit within {PATIENCE} s: start the API under test with fewer executions a minute")


@pytest.mark.usefixtures("used_up")
def test_the_status_says_when_to_try_again(page: Page) -> None:
    page.run("python", "print(1)")
    page.ends("At most 150 executions a minute are allowed for one address. Try again in ")
    seconds = int(page.status.rpartition(" in ")[2].removesuffix(" s."))
    assert 0 < seconds <= 60
    assert page.output == ""
    assert page.find("run").is_enabled()
