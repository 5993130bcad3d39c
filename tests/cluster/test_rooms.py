"""Rooms beside several units. The tests build on each other, in order."""

import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from offline.kubernetes.cluster import Cluster
from offline.kubernetes.layout import Node
from tests.cluster.conftest import PORT, STACK, UNITS
from tests.cluster.running import Pod, arrive, pods, refusal
from tests.pods import FAULTS
from tests.unit.app.room_member import Member, RoomLinks, made, run
from tests.waiting import until
from tools.console.steps import Report
from tools.machine.kubernetes import Kubernetes
from tools.stack.cluster_stack import ClusterStack

ADDRESS = f"{Node(1, Path()).address}:{PORT}"
"""The edge, whose host name here is its node's address."""
POD = "sandbox-rooms-0"
MAIN = "main.py"
PROGRAM = [{"name": MAIN, "content": "print('from the room')"}]
VISITS = 20
SECONDS = 120
"""Until the rooms' unit has ended, and until the next one answers."""
ASKS = """
import http.client as it
unit = it.HTTPConnection("127.0.0.1", 8000)
unit.request("POST", "/rooms", '{"environment": "python"}', {"content-type": "application/json"})
answer = unit.getresponse()
print(answer.status, answer.read().decode())
"""
REFUSED = (
    *("one capability more for the executor", "no seccomp for the executor", "a weaker profile"),
    *("root", "the executor's capability in the api"),
)
"""Faults of the executor, which has its exceptions in this pod too, and of the api, which must not have them."""


@pytest.fixture(scope="module")
def rooms(with_rooms: ClusterStack) -> str:
    """The host and port at which they are reached."""
    assert with_rooms
    return ADDRESS


@pytest.fixture(scope="module")
def room(rooms: str) -> RoomLinks:
    return asyncio.run(made(rooms, files=PROGRAM))


def test_a_second_up_changes_nothing(with_rooms: ClusterStack, report: Report) -> None:
    with_rooms.preview(report, "--expect-no-changes")


def test_members_edit_and_run_together(rooms: str, room: RoomLinks) -> None:
    async def meet() -> list[dict[str, Any]]:
        async with (
            Member().connected(rooms, room.id, room.edit) as one,
            Member().connected(rooms, room.id, room.edit) as other,
        ):
            for member in (one, other):
                await member.sees(lambda it: MAIN in it.files)
            one.text().insert(0, "print('of one')\n")
            await other.sees(lambda it: "of one" in it.files[MAIN])
            other.text().insert(0, "print('of the other')\n")
            await one.sees(lambda it: "of the other" in it.files[MAIN])
            return await run(rooms, room)

    results = asyncio.run(meet())
    assert len(results) == 2
    assert {(it["status"], it["stdout"]) for it in results} == {("success", "of the other\nof one\nfrom the room\n")}


def test_each_visit_finds_the_room(rooms: str, room: RoomLinks) -> None:
    """Each is a connection of its own, for which the edge would choose one of the units."""

    async def visit() -> None:
        for _ in range(VISITS):
            async with Member().connected(rooms, room.id, room.view) as member:
                await member.sees(lambda it: "of one" in it.files.get(MAIN, ""))

    asyncio.run(visit())


@pytest.mark.usefixtures("rooms")
def test_the_other_units_tell_of_rooms_and_hold_none(ours: Cluster, edge: httpx.Client) -> None:
    assert edge.get("/environments").json()["rooms"] is True
    units = pods(ours, "-n", UNITS, "-l", "vps.service=sandbox")
    assert len(units) == 2
    for unit in units:
        said = ours.kubectl("-n", UNITS, "exec", unit.name, "-c", "api", "--", "python", "-c", ASKS)
        assert said.startswith("404 "), said
        assert "This unit has no rooms" in said


@pytest.mark.usefixtures("rooms")
def test_only_the_edge_reaches_the_rooms_unit_which_reaches_the_store_alone(ours: Cluster) -> None:
    every: list[Pod] = pods(ours, "--all-namespaces", "-l", f"vps.stack={STACK}")
    (unit,) = [it for it in every if it.service == "sandbox-rooms"]
    others = [it for it in every if it != unit]
    assert unit.ports() == [8000, 9000]
    into = {it.process: [(socket.AF_INET, unit.address, port) for port in unit.ports()] for it in others}
    arrived = arrive(into)
    assert {(it.service, port) for it in others for _, port in arrived[it.process]} == {("traefik", 8000)}
    out = [(socket.AF_INET, it.address, port) for it in others for port in it.ports()]
    services = {it.address: it.service for it in others}
    assert {(services[host], port) for host, port in arrive({unit.process: out})[unit.process]} == {("valkey", 6379)}


@pytest.mark.usefixtures("rooms")
def test_the_api_server_takes_its_pod_and_none_with_a_fault(cluster: Kubernetes, ours: Cluster) -> None:
    def pod() -> dict[str, Any]:
        found = json.loads(ours.kubectl("-n", UNITS, "get", "statefulset", "sandbox-rooms", "-o", "json"))
        spec: dict[str, Any] = found["spec"]["template"]["spec"]
        # Every namespace has an account `default`. Its StatefulSet alone can claim the volume of the rooms.
        del spec["serviceAccount"], spec["serviceAccountName"]
        spec["volumes"].append({"name": "rooms-data", "emptyDir": {}})
        return spec

    assert refusal(cluster, pod(), STACK) == ""
    assert "violates PodSecurity" in refusal(cluster, pod(), STACK, "edge")
    for fault in REFUSED:
        refused_by, change = FAULTS[fault]
        changed = pod()
        change(changed)
        said = refusal(cluster, changed, STACK)
        assert any(f"{STACK}-{name}: " in said for name in refused_by), (fault, said)


def test_when_the_rooms_unit_is_replaced_its_rooms_come_back(
    rooms: str, room: RoomLinks, ours: Cluster, edge: httpx.Client
) -> None:
    former = _uid(ours)
    kept, offline = "# kept\n", "# offline\n"

    async def is_lost() -> Member:
        """A member types, is told to come back when the unit ends, and types on."""
        async with (
            Member().connected(rooms, room.id, room.edit) as member,
            Member().connected(rooms, room.id, room.view) as other,
        ):
            await member.sees(lambda it: MAIN in it.files)
            member.text().insert(0, kept)
            await other.sees(lambda it: kept in it.files.get(MAIN, ""))
            ours.kubectl("-n", UNITS, "delete", "pod", POD, "--wait=false")
            async with asyncio.timeout(SECONDS):
                while member.closed is None:  # noqa: ASYNC110 - documents have no event for it
                    await asyncio.sleep(0.1)
            assert member.closed[0] == 1012
        member.text().insert(0, offline)
        return member

    member = asyncio.run(is_lost())
    answers = [edge.post("/execute", json={"environment": "bash", "code": "echo done"}) for _ in range(5)]
    assert {it.status_code for it in answers} == {httpx.codes.OK}, [it.text for it in answers]
    until(lambda: _uid(ours) not in ("", former), SECONDS, "the next pod")
    ours.kubectl("-n", UNITS, "rollout", "status", "statefulset/sandbox-rooms", "--timeout=180s")
    until(lambda: _answers(edge), SECONDS, "the rooms behind the edge")

    async def comes_back() -> list[dict[str, Any]]:
        async with (
            member.connected(rooms, room.id, room.edit),
            Member().connected(rooms, room.id, room.view) as other,
        ):
            await other.sees(lambda it: {kept, offline} <= set(it.files.get(MAIN, "").splitlines(keepends=True)))
            assert "of one" in other.files[MAIN]
            return await run(rooms, room)

    results = asyncio.run(comes_back())
    assert {(it["status"], it["stdout"]) for it in results} == {("success", "of the other\nof one\nfrom the room\n")}


def _uid(cluster: Cluster) -> str:
    """The identity of the pod of the rooms' unit; empty while there is none."""
    found = ("get", "pod", POD, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")
    return cluster.kubectl("-n", UNITS, *found).strip()


def _answers(edge: httpx.Client) -> bool:
    """Whether the rooms' unit answers: it finds the environment missing, and another unit would answer 404."""
    return edge.post("/rooms", json={}).status_code == httpx.codes.UNPROCESSABLE_ENTITY
