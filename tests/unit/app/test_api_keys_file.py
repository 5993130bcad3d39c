"""The file of the keys of sites, which the api reads again when it changes."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from app.api.keys import KeyRing
from app.process.settings import SettingsError
from app.wire.problems import Code
from tests.unit.app.fake_executor import FakeExecutor
from tests.unit.app.fake_visitor import api
from tests.unit.app.keys_of_sites import bearer, key, write
from tests.unit.app.test_api import problem

pytestmark = pytest.mark.anyio

HELLO = {"environment": "python", "code": "print(1)"}


async def test_a_rotation_loses_no_request(executor: FakeExecutor, keys: Path) -> None:
    """Requests go on while the file is replaced again and again: by the old secret, both, and the new one."""
    old, new = "old-secret", "new-secret"
    write(keys, key("site", old, requests_per_minute=100_000, concurrent_runs=256))
    current = old
    statuses: Counter[int] = Counter()
    async with api(executor, KEYS_FILE=str(keys)) as client:

        async def visit() -> None:
            while sum(statuses.values()) < 300:
                found = await client.post("/execute", json=HELLO, headers=bearer(current))
                statuses[found.status_code] += 1

        async def replace() -> None:
            nonlocal current
            for secrets, used in (([old, new], new), ([new], new), ([new, old], old), ([old], old)) * 5:
                write(keys, key("site", *secrets, requests_per_minute=100_000, concurrent_runs=256))
                await asyncio.sleep(0.02)  # Requests with the former secret that are under way.
                current = used
                await asyncio.sleep(0.02)

        await asyncio.gather(replace(), visit(), visit(), visit())
        found = await client.post("/execute", json=HELLO, headers=bearer(new))
    assert statuses == {200: sum(statuses.values())}
    assert problem(found).code is Code.UNKNOWN_KEY


def spoil(file: Path, damage: str | None) -> None:
    file.unlink()
    if damage is not None:
        file.write_text(damage)


@pytest.mark.parametrize("damage", ["", "[", '[{"name": "x"}]', None])
async def test_keys_stay_in_force_while_their_file_cannot_be_read(
    executor: FakeExecutor, keys: Path, damage: str | None
) -> None:
    async with api(executor, KEYS_FILE=str(keys)) as client:
        spoil(keys, damage)
        found = await client.post("/execute", json=HELLO, headers=bearer("server-secret"))
        assert found.status_code == 200
        write(keys)
        found = await client.post("/execute", json=HELLO, headers=bearer("server-secret"))
    assert problem(found).code is Code.UNKNOWN_KEY


def test_without_its_file_the_api_does_not_start(tmp_path: Path) -> None:
    for content in (None, "{", json.dumps([key("a", "x"), key("b", "x")]), json.dumps([key("a"), key("a")])):
        if content is not None:
            (tmp_path / "keys.json").write_text(content)
        with pytest.raises(SettingsError, match="API_KEYS_FILE is wrong"):
            KeyRing(tmp_path / "keys.json")
