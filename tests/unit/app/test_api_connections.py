"""One HTTP connection to the api, byte by byte: what a client library would not send."""

import asyncio
import json
import re

import pytest

from tests.unit.app.fake_executor import FakeExecutor
from tests.unit.app.fake_visitor import listening

pytestmark = pytest.mark.anyio

HOST = "Host: api\r\n"
JSON = f"{HOST}Content-Type: application/json\r\n"
RUN = '{"environment": "python", "code": "print(1)"}'
GET = f"GET /openapi.json HTTP/1.1\r\n{HOST}"
POST = f"POST /execute HTTP/1.1\r\n{JSON}"


async def answered(executor: FakeExecutor, *parts: str, **settings: str) -> list[int]:
    """The statuses of all answers to these bytes, sent one after the other. The last request closes the connection."""
    with listening(executor, **settings) as host:
        reader, writer = await asyncio.open_connection(*host.split(":"))
        for part in parts:
            writer.write(part.encode("latin-1"))
            await asyncio.sleep(0.05)
        async with asyncio.timeout(20):
            text = await reader.read()
        writer.close()
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [A-Z]", text)]


def closing(head: str) -> str:
    return f"{head}Connection: close\r\n\r\n"


def chunked(head: str, body: str, trailer: str = "") -> str:
    return f"{in_chunks(head)}{len(body):x}\r\n{body}\r\n0\r\n{trailer}\r\n"


def in_chunks(head: str) -> str:
    return closing(head + "Transfer-Encoding: chunked\r\n")


def sized(head: str, body: str) -> str:
    return f"{head}Content-Length: {len(body)}\r\n\r\n{body}"


@pytest.mark.parametrize(
    ("parts", "statuses"),
    [
        ((closing(GET),), [200]),
        (tuple(closing(GET)), [200]),
        ((closing(f"\r\n{GET}"),), [200]),
        ((f"{GET}\r\n" * 200 + closing(GET),), [200] * 201),
        ((sized(POST, RUN) * 3 + closing(GET),), [200, 200, 200, 200]),
        ((sized(POST, RUN), f"{GET}\r\n", closing(GET)), [200, 200, 200]),
        ((chunked(POST, RUN),), [200]),
        ((chunked(POST, RUN, "A: b\r\n"),), [200]),
        ((chunked(POST, RUN, "Content-Length: 9\r\n"),), [400]),
        ((in_chunks(POST) + "".join(f"1\r\n{it}\r\n" for it in RUN) + "0\r\n\r\n",), [200]),
        # RFC 9110, 7.8: a server may ignore an upgrade. curl asks for HTTP/2 like this.
        ((f"{GET}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n{closing(GET)}",), [200, 200]),
        ((sized(f"{POST}Connection: Upgrade\r\nUpgrade: h2c\r\n", RUN) + closing(GET),), [200, 200]),
        ((closing(f"GET http://api/openapi.json HTTP/1.1\r\n{HOST}"),), [200]),
        ((f"GET /openapi.json HTTP/1.0\r\n{HOST}\r\n",), [200]),
        (("GET /openapi.json HTTP/1.0\r\n\r\n",), [200]),
        # RFC 9112, 3.2: a request without a host, or with two, is answered 400.
        (("GET /openapi.json HTTP/1.1\r\n\r\n",), [400]),
        ((f"GET /openapi.json HTTP/1.1\r\n{HOST}{HOST}\r\n",), [400]),
        # RFC 9112, 6.3: what could be read in two ways is not read.
        ((closing(f"{POST}Content-Length: 1\r\nContent-Length: 2\r\n"),), [400]),
        ((closing(f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),), [400]),
        ((closing(f"{POST}Content-Length: +5\r\n"),), [400]),
        ((closing(f"{POST}Transfer-Encoding: chunked, gzip\r\n"),), [400]),
        ((in_chunks(POST) + "x\r\n",), [400]),
        ((closing(f"{GET}A : b\r\n"),), [400]),
        ((closing(f"{GET}A: b\r\n c\r\n"),), [400]),
        ((closing(f"{GET}A: b\0\r\n"),), [400]),
        ((closing(f"BREW /pot HTTP/1.1\r\n{HOST}"),), [405]),
        ((closing(f"CONNECT api:80 HTTP/1.1\r\n{HOST}"),), [405]),
        (("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03\r\n\r\n",), [400]),
        # What came before the fault is answered first.
        ((f"{GET}\r\nnonsense\r\n\r\n",), [200, 400]),
        ((f"{sized(POST, RUN)}nonsense\r\n\r\n",), [200, 400]),
        ((sized(POST, RUN), "nonsense\r\n\r\n"), [200, 400]),
        ((f"{GET}\r\n" * 3 + f"GET /{'a' * 50_000} HTTP/1.1\r\n{HOST}\r\n",), [200, 200, 200, 414]),
        ((f"{GET}A: {'a' * 50_000}\r\n\r\n",), [400]),
        ((chunked(POST, RUN, f"A: {'a' * 50_000}\r\n"),), [400]),
    ],
)
async def test_each_request_is_answered_once_in_order(
    executor: FakeExecutor, parts: tuple[str, ...], statuses: list[int]
) -> None:
    assert await answered(executor, *parts) == statuses


async def test_a_trailer_does_not_change_who_the_client_is(executor: FakeExecutor) -> None:
    forwarded = "X-Forwarded-For: 203.0.113.7\r\n"
    requests = (chunked(f"{POST}{forwarded}", RUN, f"X-Forwarded-For: 203.0.113.{number}\r\n") for number in (8, 9))
    keep = (request.replace("Connection: close\r\n", "") for request in requests)
    settings = {"REQUESTS_PER_MINUTE": "1", "TRUSTED_PROXIES": json.dumps(["127.0.0.0/8"])}
    assert await answered(executor, *keep, closing(GET), **settings) == [200, 429, 200]


async def test_a_body_is_asked_for_when_the_client_waits_for_that(executor: FakeExecutor) -> None:
    head = closing(f"{POST}Content-Length: {len(RUN)}\r\nExpect: 100-continue\r\n")
    assert await answered(executor, head, RUN) == [100, 200]
