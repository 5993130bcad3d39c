"""The rate limit: what counts as one client, and how many requests it may make."""

import time

import pytest

from app.api.clients import Client, counted_address
from app.api.rate import Allowance, MemoryStore, RateLimit, rate_limit_store
from app.wire.problems import Code, Problem, Refused
from tests.unit.app.fake_executor import FakeExecutor
from tests.unit.app.fake_visitor import api
from tests.unit.app.valkey_server import serving
from tools.machine.ports import free_port


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("testclient", "testclient"),
    ],
)
def test_requests_are_counted_by_address_or_ipv6_subscriber(address: str, key: str) -> None:
    assert counted_address(address) == key


async def counted(rate: RateLimit, client: Client, executions: int = 1, before: int = 0) -> Problem | None:
    """Why executions are refused; None when they are counted."""
    try:
        await rate.count(client, executions, before)
    except Refused as refused:
        return refused.problem
    return None


@pytest.mark.anyio
async def test_clients_are_counted_separately(store: str) -> None:
    rate = RateLimit(2, rate_limit_store(store))
    client = Client("203.0.113.7")
    assert [await counted(rate, client), await counted(rate, client)] == [None, None]
    problem = await counted(rate, client)
    assert await counted(rate, Client("203.0.113.8")) is None
    assert problem
    assert problem.code is Code.RATE_LIMITED
    assert problem.retry_after in range(55, 61)
    assert client.headers == {
        "RateLimit-Policy": '"executions";q=2;w=60',
        "RateLimit": f'"executions";r=0;t={problem.retry_after}',
    }


@pytest.mark.anyio
async def test_several_executions_are_counted_together_or_not_at_all(store: str) -> None:
    rate = RateLimit(5, rate_limit_store(store))
    client = Client("203.0.113.7")
    found = []
    for executions in (3, 3, 2, 1):
        problem = await counted(rate, client, executions)
        found.append((problem is None, client.headers["RateLimit"].partition(";t=")[0]))
    assert found == [(True, '"executions";r=2'), (False, '"executions";r=2')] + [
        (admitted, '"executions";r=0') for admitted in (True, False)
    ]
    other = Client("203.0.113.8")
    await counted(rate, other, 3)
    problem = await counted(rate, other, 4, 1)
    assert problem
    assert (problem.code, problem.retry_after) == (Code.RATE_LIMITED, 60)
    assert "4 are asked for and 3 were left" in problem.detail


@pytest.mark.anyio
async def test_the_window_slides_and_old_clients_are_removed() -> None:
    now = 0.0
    store = MemoryStore(lambda: now)
    assert await store.hit("a", 2, 1) == Allowance(2, admitted=True, remaining=1, seconds=60)
    now = 20
    assert await store.hit("a", 2, 1) == Allowance(2, admitted=True, remaining=0, seconds=40)
    assert await store.hit("b", 2, 1) == Allowance(2, admitted=True, remaining=1, seconds=60)
    now = 59
    assert await store.hit("a", 2, 1) == Allowance(2, admitted=False, remaining=0, seconds=1)
    now = 60
    assert await store.hit("a", 2, 1) == Allowance(2, admitted=True, remaining=0, seconds=20)
    now = 80
    assert await store.hit("c", 2, 1) == Allowance(2, admitted=True, remaining=1, seconds=60)
    assert len(store) == 2
    now = 140
    assert len(store) == 2
    await store.hit("d", 2, 1)
    assert len(store) == 1


@pytest.mark.anyio
async def test_the_cost_of_a_request_does_not_grow_with_the_clients() -> None:
    store = MemoryStore()

    async def cost(clients: int) -> float:
        started = time.process_time()
        for client in range(clients):
            await store.hit(f"{clients}-{client}", 10, 1)
        return (time.process_time() - started) / clients

    first = await cost(2_000)
    await cost(100_000)
    assert await cost(2_001) < 10 * first


@pytest.mark.anyio
async def test_replicas_share_their_counts(shared: str) -> None:
    one, other = (RateLimit(1, rate_limit_store(shared)) for _ in range(2))
    assert await counted(one, Client("198.51.100.1")) is None
    assert await counted(other, Client("198.51.100.1"))


@pytest.mark.anyio
async def test_a_client_of_two_replicas_has_one_limit(executor: FakeExecutor, shared: str) -> None:
    given = {"RATE_STORE": shared, "REQUESTS_PER_MINUTE": "3"}
    async with api(executor, **given) as one, api(executor, **given) as other:
        body = {"environment": "python", "code": "1"}
        answers = [await replica.post("/execute", json=body) for replica in (one, other, one, other)]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 429]


@pytest.mark.anyio
async def test_requests_are_refused_until_an_unavailable_store_returns() -> None:
    port = free_port()
    rate = RateLimit(2, rate_limit_store(f"valkey://127.0.0.1:{port}/0"))
    for _ in range(2):
        problem = await counted(rate, Client("203.0.113.7"))
        assert problem
        assert problem.code is Code.RATE_STORE_UNAVAILABLE
        assert problem.retry_after
        with serving(port):
            assert await counted(rate, Client("203.0.113.7")) is None
