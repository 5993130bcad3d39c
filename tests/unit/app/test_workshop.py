"""A sandbox whose making is cancelled leaves no container, whenever Docker gets to it."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.executor.docker_workshop import DockerWorkshop, Pattern
from app.profile import FLOOR

pytestmark = pytest.mark.anyio


class SlowApi:
    """A Docker that takes a while to create a container. As the real one, it goes on when its client hangs up."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.containers: set[str] = set()
        self._creating: set[asyncio.Task[None]] = set()

    async def create(self, name: str, body: Mapping[str, Any]) -> Sequence[str]:
        async def create() -> None:
            await self.goes_on.wait()
            self.containers.add(name)

        creating = asyncio.create_task(create())
        self._creating.add(creating)
        self.asked.set()
        await asyncio.shield(creating)
        return ()

    async def attach(self, name: str) -> Any:
        pytest.fail("the making was cancelled")

    async def remove(self, name: str) -> None:
        self.containers.discard(name)


async def test_a_container_that_is_created_after_the_cancelling_is_removed() -> None:
    api: Any = SlowApi()
    making = asyncio.create_task(
        DockerWorkshop(api, Pattern(FLOOR, {"python": "image"}, "vps-test", "crun")).make("python")
    )
    await api.asked.wait()
    making.cancel()
    await asyncio.sleep(0)
    api.goes_on.set()
    await asyncio.wait([making])
    assert making.cancelled()
    assert api.containers == set()
