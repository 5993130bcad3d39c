"""Two units of a real stack: the edge sends to both, and the loss of one loses only what ran in it. A third one has the
rooms, which the only unit had before. The tests build on each other, in order."""

import asyncio
import dataclasses
import functools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from infra.settings import STACKS_STORE
from tests.stack.visitors import visiting
from tests.stacks import StackFactory
from tests.unit.app.room_member import Member, RoomLinks, made, run
from tests.waiting import until
from tools.console.steps import Report
from tools.machine.ports import free_port
from tools.machine.preparation import Preparation
from tools.stack import health
from tools.stack.config import ONLY_CORE

ASKS = "import urllib.request as it; print(it.urlopen('http://127.0.0.1:9000/metrics/executor').read().decode())"
LONG = {"environment": "bash", "code": "sleep 25; echo done", "timeout": 30}
AT_ONCE = 4
PROGRAM = [{"name": "main.sh", "content": "echo from the room"}]
TYPED = "echo of a member\n"
VISITS = 20


@dataclass(frozen=True)
class Units:
    """The stack's containers, and its edge."""

    stack: str
    port: int
    prepared: Preparation
    room: RoomLinks
    """It was made when there was one unit."""

    @property
    def address(self) -> str:
        """The edge's host and port."""
        return f"localhost:{self.port}"

    def containers(self, *services: str) -> list[str]:
        found = health.services(self.prepared.engine.client(), self.stack)
        return [it.container for it in found if it.service in services]

    def running(self, api: str) -> int:
        """Sandboxes of a unit in which code runs."""
        (container,) = self.containers(api)
        _, said = self.prepared.engine.client().containers.get(container).exec_run(["python", "-c", ASKS])
        assert isinstance(said, bytes)
        return sum(int(float(line.split()[-1])) for line in said.decode().splitlines() if 'state="running"' in line)

    def kill(self, *services: str) -> None:
        """End them at once, as a crash does."""
        client = self.prepared.engine.client()
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda it: client.containers.get(it).kill(), self.containers(*services)))


@pytest.fixture(scope="module")
def units(new_stack: StackFactory, prepared: Preparation, report: Report) -> Iterator[Units]:
    port = free_port()
    sandbox = {"rate_store": STACKS_STORE, "environments": ["bash"], "requests_per_minute": 10_000, "rooms": {}}
    one = new_stack(edge={"http_port": port}, sandbox={**sandbox, "concurrency": AT_ONCE}, services=ONLY_CORE)
    one.up(report)
    health.wait(prepared.engine, one.prefix, f"http://localhost:{port}", report)
    room = asyncio.run(made(f"localhost:{port}", environment="bash", files=PROGRAM))
    two = dataclasses.replace(one, overrides={**one.overrides, "sandbox": {**one.overrides["sandbox"], "units": 2}})
    two.configure(prepared.images, report)
    two.up(report)
    health.wait(prepared.engine, one.prefix, f"http://localhost:{port}", report)
    yield Units(one.prefix, port, prepared, room)
    new_stack.remove(one)


def test_a_room_moves_into_a_unit_for_rooms_and_each_visit_finds_it(units: Units) -> None:
    """Each is a connection of its own, for which the edge would choose one of the two others."""

    async def visit() -> list[dict[str, Any]]:
        room = units.room
        async with Member().connected(units.address, room.id, room.edit) as one:
            await one.sees(lambda it: "main.sh" in it.files)
            one.text("main.sh").insert(0, TYPED)
            for _ in range(VISITS):
                async with Member().connected(units.address, room.id, room.view) as other:
                    await other.sees(lambda it: TYPED in it.files.get("main.sh", ""))
            return await run(units.address, room)

    results = asyncio.run(visit())
    assert {(it["status"], it["stdout"]) for it in results} == {("success", "of a member\nfrom the room\n")}
    client = units.prepared.engine.client()
    held = {
        service
        for service in ("api", "api-2", "api-rooms")
        for container in units.containers(service)
        if "/var/lib/rooms" in {it["Destination"] for it in client.containers.get(container).attrs["Mounts"]}
    }
    assert held == {"api-rooms"}


def test_the_loss_of_a_unit_loses_only_what_ran_in_it(units: Units) -> None:
    with (
        httpx.Client(base_url=f"http://localhost:{units.port}", trust_env=False, timeout=60) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        post = functools.partial(client.post, "/execute")
        long = [pool.submit(post, json=LONG) for _ in range(AT_ONCE)]
        until(lambda: units.running("api") and units.running("api-2"), 20, "executions in both units")
        with visiting(post) as visits:
            until(lambda: visits.executions >= 10, 60, "visitors")
            units.kill("api-2", "executor-2")
            seen = visits.executions
            until(lambda: visits.executions >= seen + 25, 60, "visitors of the other unit")
        # They come one after the other, so one ran at that moment at most.
        assert len(visits.failures) <= 1, visits.failures
        answers = [it.result() for it in long]
        whole = [it for it in answers if it.is_success and it.json()["output"] == "done\n"]
        # Its executor may end a moment before its api, which then says so itself.
        lost = [it for it in answers if it.status_code in {httpx.codes.BAD_GATEWAY, httpx.codes.SERVICE_UNAVAILABLE}]
        assert len(whole) + len(lost) == AT_ONCE
        assert whole
        assert lost


def test_without_any_unit_the_edge_answers_with_a_problem(units: Units) -> None:
    units.kill("api", "executor")
    url = f"http://localhost:{units.port}/execute"
    program = {"environment": "bash", "code": "echo"}

    def answer() -> httpx.Response:
        return httpx.post(url, json=program, trust_env=False, timeout=60)

    # As long as the edge believes that one is healthy it tries again; then it knows.
    until(lambda: answer().elapsed.total_seconds() < 1, 60, "the edge to know")
    said = answer()
    assert (said.status_code, said.json()["code"]) == (httpx.codes.BAD_GATEWAY, "bad_gateway")
    client = units.prepared.engine.client()
    for container in units.containers("executor-2", "api-2"):
        client.containers.get(container).start()
    until(lambda: answer().is_success, 60, "the unit that came back")
