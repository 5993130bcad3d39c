"""The terminal client, with answers that a real platform gives seldom. tests/page has the usual ones."""

import asyncio
import io
import json

import httpx
import pytest
from rich.console import Console

from tools.client.calls import Body, Client

LIMITED = {"code": "rate_limited", "retry_after": 0}
DONE = {"status": "success"}


@pytest.mark.parametrize(("answers", "last"), [([LIMITED, DONE], DONE), ([LIMITED, LIMITED], LIMITED)])
def test_an_execution_that_came_too_soon_is_sent_once_more(answers: list[Body], last: Body) -> None:
    waiting = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        body = next(waiting)
        return httpx.Response(429 if body is LIMITED else 200, stream=httpx.ByteStream(json.dumps(body).encode()))

    async def execute() -> Body:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            client = Client("http://api", Console(file=io.StringIO()), http)
            return await client.execute({"environment": "python", "code": ""})

    assert asyncio.run(execute()) == last
    assert not list(waiting)
