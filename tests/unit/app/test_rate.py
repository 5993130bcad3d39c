"""Who counts as one client, and how many requests one may make."""

import pytest

from app.api.rate import RateLimit, client_key
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


@pytest.mark.anyio
async def test_each_client_has_its_own_count() -> None:
    rate = RateLimit(2)
    for _ in range(2):
        await rate.admit("203.0.113.7")
    with pytest.raises(Refused) as caught:
        await rate.admit("203.0.113.7")
    assert caught.value.problem.code is Code.RATE_LIMITED
    assert caught.value.problem.retry_after in range(55, 61)
    await rate.admit("203.0.113.8")
