"""Packages of executions, between the api and a packages service on an index of this machine."""

import asyncio
import contextlib
import hashlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.packages.metrics import Metrics
from app.packages.server import build_packages
from app.packages.service import Preparations
from app.packages.settings import PackagesSettings
from app.packages.store import Store
from tests.unit.app.fake_executor import FakeExecutor, serving
from tests.unit.app.fake_visitor import api
from tools.measure import package_index
from tools.measure.package_index import Index

pytestmark = pytest.mark.anyio

BODY = {"environment": "python", "code": "import named", "packages": ["named"]}
EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    with package_index.serving() as found:
        found.package("named")
        found.package("typed")
        yield found


@pytest.fixture
def socket() -> Iterator[Path]:
    # A Unix socket's path has at most 107 bytes: pytest's own folders may be deeper.
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder, "packages.sock")


@contextlib.contextmanager
def running(index: Index, socket: Path) -> Iterator[None]:
    """A packages service, which is running."""
    settings = PackagesSettings(index=index.url, store=socket.parent, socket=socket)
    store = Store(settings.store, settings.store_mb)
    store.open()
    metrics = Metrics(store)
    preparations = Preparations(settings, store, socket.parent, metrics)
    with serving(build_packages(preparations, metrics), uds=str(socket)):
        yield
    socket.unlink(missing_ok=True)


@pytest.fixture
def packages(index: Index, socket: Path) -> Iterator[dict[str, str]]:
    """The variables of an api with a packages service, which is running."""
    with running(index, socket):
        yield {"PACKAGES": "{}", "PACKAGES_SOCKET": str(socket)}


async def test_an_execution_runs_once_its_packages_are_there(executor: FakeExecutor, packages: dict[str, str]) -> None:
    async with api(executor, **packages) as client:
        for _ in range(2):
            assert (await client.post("/execute", json=BODY)).status_code == 200
    assert [ran["packages"] for ran in executor.ran] == [["named"], ["named"]]


async def test_events_tell_the_steps(executor: FakeExecutor, packages: dict[str, str]) -> None:
    async with api(executor, **packages) as client:
        answer = await client.post("/execute", json=BODY, headers=EVENTS)
        again = await client.post("/execute", json=BODY, headers=EVENTS)
    data = [json.loads(line.removeprefix("data: ")) for line in answer.text.splitlines() if line.startswith("data: ")]
    steps = [frame["step"] for frame in data if frame["type"] == "preparing"]
    assert steps == [step for step in ("waiting", "resolving", "fetching") if step in steps]
    assert "resolving" in steps
    assert [frame["type"] for frame in data][len(steps)] == "started"
    assert "preparing" not in again.text


async def test_what_is_locked(executor: FakeExecutor, packages: dict[str, str]) -> None:
    async with api(executor, **packages) as client:
        answer = await client.post("/packages", json={"environment": "py", "packages": ["typed"]})
        rules = (await client.get("/environments")).json()["packages"]
    found = answer.json()
    assert (found["environment"], [it["name"] for it in found["packages"]]) == ("python", ["typed"])
    assert (rules["environments"], rules["most"]) == (["python", "python-data", "node"], 10)


@pytest.mark.parametrize("headers", [{}, EVENTS])
async def test_refusals_are_the_services(
    executor: FakeExecutor, packages: dict[str, str], headers: dict[str, str]
) -> None:
    async with api(executor, **packages) as client:
        answer = await client.post("/execute", json={**BODY, "packages": ["absent"]}, headers=headers)
    assert "package_not_found" in answer.text
    assert executor.ran == []


async def test_a_service_that_another_one_replaces_is_waited_for(
    executor: FakeExecutor, index: Index, socket: Path
) -> None:
    async with api(executor, PACKAGES="{}", PACKAGES_SOCKET=str(socket)) as client:
        with running(index, socket):
            assert (await client.post("/execute", json=BODY)).status_code == 200
        between = asyncio.create_task(client.post("/execute", json=BODY))
        await asyncio.sleep(0.5)
        assert not between.done()
        with running(index, socket):
            assert (await between).status_code == 200


async def test_a_service_that_is_away(executor: FakeExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.api.packages.REPLACED_SECONDS", 0.3)
    async with api(executor, PACKAGES="{}", PACKAGES_SOCKET=str(tmp_path / "none")) as client:
        answer = await client.post("/execute", json=BODY)
        assert (answer.status_code, answer.json()["code"]) == (503, "packages_unavailable")
        assert answer.headers["Retry-After"] == "10"
        assert (await client.post("/execute", json={**BODY, "packages": []})).status_code == 200


async def test_a_key_may_be_without_packages(executor: FakeExecutor, packages: dict[str, str], tmp_path: Path) -> None:
    secret = "0" * 40
    hashed = hashlib.sha256(secret.encode()).hexdigest()
    keys = tmp_path / "keys.json"
    keys.write_text(json.dumps([{"name": "site", "secrets": [f"sha256:{hashed}"], "packages": False}]))
    async with api(executor, **packages, KEYS_FILE=str(keys)) as client:
        answer = await client.post("/execute", json=BODY, headers={"Authorization": f"Bearer {secret}"})
    assert answer.json()["code"] == "package_not_allowed"
    assert executor.ran == []
