"""Fixtures of the app's unit tests."""

import asyncio
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.api import executions
from app.executor import service
from app.executor.metrics import Metrics
from app.executor.pool import Pool
from app.executor.settings import Bounds
from app.process.tracing import Tracing
from app.profile import FLOOR
from tests.unit.app import valkey_server
from tests.unit.app.fake_executor import FakeExecutor, serving
from tests.unit.app.fake_workshop import FakeWorkshop, Start, settle
from tests.unit.app.keys_of_sites import SITE, key, write


@pytest.fixture
def anyio_backend() -> str:
    """The app runs on asyncio."""
    return "asyncio"


@pytest.fixture(autouse=True)
def _accounted_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left for later is done when the answer is sent, so that a test finds it."""

    def soon(do: Callable[..., object], *args: object) -> None:
        asyncio.get_running_loop().call_soon(do, *args)

    for user in (executions, service):
        monkeypatch.setattr(user, "later", soon)


@pytest.fixture(scope="session")
def _executor() -> Iterator[FakeExecutor]:
    # A Unix socket's path has at most 107 bytes: pytest's own folders may be deeper.
    with tempfile.TemporaryDirectory() as folder:
        executor = FakeExecutor(Path(folder) / "executor.sock")
        with serving(executor.app, uds=str(executor.socket)):
            yield executor


@pytest.fixture
def executor(_executor: FakeExecutor) -> FakeExecutor:
    """A fake executor that answers normally until the test changes it."""
    _executor.reset()
    return _executor


@pytest.fixture
def shared() -> Iterator[str]:
    """The URL of a Valkey server."""
    with valkey_server.serving() as url:
        yield url


@pytest.fixture(params=["memory", "valkey"])
def store(request: pytest.FixtureRequest) -> str:
    """The URL of a store, for each kind."""
    url: str = request.getfixturevalue("shared") if request.param == "valkey" else "memory://"
    return url


@pytest.fixture
def workshop() -> FakeWorkshop:
    return FakeWorkshop()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(FLOOR)


@pytest.fixture
def start(workshop: FakeWorkshop, metrics: Metrics) -> Start:
    """A pool that has had time to fill."""

    async def make(concurrency: int = 4, queue: int = 4, **bounds: tuple[int, int]) -> Pool:
        given = {name: Bounds(min=low, max=high) for name, (low, high) in (bounds or {"python": (1, 2)}).items()}
        pool = Pool(workshop, given, metrics, concurrency, queue, tracing=Tracing())
        pool.start()
        await settle()
        return pool

    return make


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A file with the key of a server and the key of a page; their secrets are `server-secret` and `page-secret`."""
    return write(tmp_path / "keys.json", key("server"), key("page", origins=[SITE]))
