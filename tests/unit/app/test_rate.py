"""Who counts as one client, and how many requests one may make."""

import pytest
from fakeredis import FakeAsyncValkey, FakeServer
from valkey.asyncio import Valkey

from app.api.rate import RateLimit, client_key, rate_limit_store, refusal
from app.problems import Code, Refused


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
def test_client_key(address: str, key: str) -> None:
    assert client_key(address) == key


@pytest.fixture
def valkey(monkeypatch: pytest.MonkeyPatch) -> str:
    """A store's URL; its server is played, scripts included."""
    server = FakeServer(server_type="valkey")
    monkeypatch.setattr(Valkey, "from_url", lambda _url, **_: FakeAsyncValkey(server=server))
    return "valkey://store.example:6379/0"


@pytest.fixture(params=["memory", "valkey"])
def store(request: pytest.FixtureRequest) -> str:
    """Each kind of store."""
    url: str = request.getfixturevalue("valkey") if request.param == "valkey" else "memory://"
    return url


@pytest.mark.anyio
async def test_each_client_has_its_own_count(store: str) -> None:
    rate = RateLimit(2, rate_limit_store(store))
    first, second, third = [await rate.count("203.0.113.7") for _ in range(3)]
    assert [(found.admitted, found.remaining) for found in (first, second, third)] == [(True, 1), (True, 0), (False, 0)]
    assert (await rate.count("203.0.113.8")).admitted
    assert third.reset in range(55, 61)
    assert third.headers == {
        "RateLimit-Policy": '"executions";q=2;w=60',
        "RateLimit": f'"executions";r=0;t={third.reset}',
    }
    problem = refusal(third).problem
    assert (problem.code, problem.retry_after) == (Code.RATE_LIMITED, third.reset)


@pytest.mark.anyio
async def test_replicas_count_together(valkey: str) -> None:
    one, other = (RateLimit(1, rate_limit_store(valkey)) for _ in range(2))
    assert (await one.count("198.51.100.1")).admitted
    assert not (await other.count("198.51.100.1")).admitted


@pytest.mark.anyio
async def test_without_its_store_nobody_is_unlimited() -> None:
    rate = RateLimit(2, rate_limit_store("valkey://127.0.0.1:1/0"))
    with pytest.raises(Refused) as caught:
        await rate.count("203.0.113.7")
    assert caught.value.problem.code is Code.RATE_STORE_UNAVAILABLE
    assert caught.value.problem.retry_after
