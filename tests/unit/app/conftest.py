"""Fixtures of the app's unit tests."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.app.fake_executor import FakeExecutor, serving


@pytest.fixture
def anyio_backend() -> str:
    """The app runs on asyncio."""
    return "asyncio"


@pytest.fixture(scope="session")
def _executor() -> Iterator[FakeExecutor]:
    # A Unix socket's path has at most 107 bytes: pytest's own folders may be deeper.
    with tempfile.TemporaryDirectory() as folder:
        executor = FakeExecutor(Path(folder) / "executor.sock")
        with serving(executor.app, uds=str(executor.socket)):
            yield executor


@pytest.fixture
def executor(_executor: FakeExecutor) -> FakeExecutor:
    """A fake executor that works until the test changes it."""
    _executor.reset()
    return _executor
