"""What the app's unit tests share."""

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The app runs on asyncio."""
    return "asyncio"
