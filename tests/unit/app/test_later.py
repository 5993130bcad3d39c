"""Work that is left for later."""

import asyncio
from contextvars import ContextVar

import pytest

from app.process.later import done as all_done
from app.process.later import later

_request: ContextVar[str] = ContextVar("request")


@pytest.mark.anyio
async def test_it_is_done_after_what_is_ready_to_run_and_in_the_context_of_its_request() -> None:
    done: list[str] = []
    told = asyncio.Event()

    def account(name: str) -> None:
        done.append(f"{name} of {_request.get()}")
        told.set()

    _request.set("this request")
    later(account, "the account")
    _request.set("the next request")
    for _ in range(10):
        await asyncio.sleep(0)
    done.append("the answer")
    await told.wait()
    assert done == ["the answer", "the account of this request"]


@pytest.mark.anyio
async def test_a_process_that_ends_does_it_first() -> None:
    done: list[int] = []
    for number in range(100):
        later(done.append, number)
    await all_done()
    assert done == list(range(100))
