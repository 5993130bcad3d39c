"""When the executor gives up on its socket."""

import anyio
import pytest

from app.executor.engine import EngineError
from app.executor.lifeline import end_when_cut_off

pytestmark = pytest.mark.anyio


async def test_it_ends_once_the_engine_has_been_silent_for_long_enough() -> None:
    answers = [True, False, True]
    pings = 0
    ended = []

    async def ping() -> None:
        nonlocal pings
        pings += 1
        if pings > len(answers) or not answers[pings - 1]:
            raise EngineError("gone")

    with anyio.fail_after(5):
        await end_when_cut_off(ping, lambda: ended.append(pings), patience_seconds=0.1, seconds_between=0.02)
    # A silence that passed is forgotten.
    assert ended[0] > len(answers) + 1


async def test_it_stays_while_the_engine_answers() -> None:
    async def ping() -> None:
        pass

    with anyio.move_on_after(0.3) as waited:
        await end_when_cut_off(ping, lambda: pytest.fail("ended"), patience_seconds=0.1, seconds_between=0.02)
    assert waited.cancelled_caught
