"""What the executor makes of the trial of its limits: a host that holds one too little is refused."""

from typing import cast

import pytest

from app.executor.cgroups import Usage
from app.executor.proof import Unheld, prove
from app.executor.workshop import OciWorkshop, Trial
from app.profile import FLOOR, SandboxProfile

pytestmark = pytest.mark.anyio

HELD = {
    "processes": "50",
    "interfaces": "0",
    "root": "Read-only file system",
    "user": "1000",
    "capabilities": "\t0000000000000000",
    "no_new_privileges": "\t1",
    "seccomp": "\t2",
}
"""What images/executor/probe.c says in a sandbox that is held to the floor. The last three are the kernel's words."""


class FakeWorkshop:
    """Each probe takes a second. The first one uses up memory, the second one tries all other limits."""

    def __init__(self, said: str, *, cpu_seconds: float = 0.5, kills: int = 1, of_memory: str = "") -> None:
        self._trials = [
            Trial(text, Usage(cpu_seconds, None, memory_kills=killed, pids_refused=0), 1.0)
            for text, killed in ((of_memory, kills), (said, 0))
        ]
        self.asked: list[list[str]] = []

    async def probe(self, arguments: list[str]) -> Trial:
        self.asked.append(arguments)
        return self._trials[len(self.asked) - 1]


def said(**changes: str) -> str:
    return "".join(f"{name} {found}\n" for name, found in {**HELD, **changes}.items())


async def proven(workshop: FakeWorkshop, profile: SandboxProfile = FLOOR, *, apparmor: bool = False) -> None:
    await prove(cast(OciWorkshop, workshop), profile, apparmor=apparmor)


async def test_a_host_that_holds_every_limit_is_accepted() -> None:
    workshop = FakeWorkshop(said())
    await proven(workshop)
    (memory,), (processes, _) = workshop.asked
    assert int(memory) > FLOOR.memory_mb
    assert int(processes) > FLOOR.pids


@pytest.mark.parametrize(("kills", "of_memory"), [(0, ""), (0, "288 MB used\n"), (1, "288 MB used\n")])
async def test_a_limit_of_memory_that_does_not_hold_is_named(kills: int, of_memory: str) -> None:
    with pytest.raises(Unheld, match=r"limit of 256 MB of memory: a trial found (that nothing was killed|288 MB used)"):
        await proven(FakeWorkshop(said(), kills=kills, of_memory=of_memory))


@pytest.mark.parametrize(
    ("changes", "limit", "found"),
    [
        ({"processes": "100"}, "50 processes", "100 of them"),
        ({"processes": "many"}, "50 processes", "many of them"),
        ({"interfaces": "1"}, "no network", "1 interfaces"),
        ({"root": "writable"}, "a read-only root", "it writable"),
        ({"user": "0"}, "a user that is not root", "user 0"),
        ({"capabilities": "\t0000000000200000"}, "no capabilities", "capabilities 0000000000200000"),
        ({"no_new_privileges": "\t0"}, "no new privileges", "0"),
        ({"seccomp": "\t0"}, "a filter of system calls", "mode 0"),
    ],
)
async def test_a_limit_that_does_not_hold_is_named(changes: dict[str, str], limit: str, found: str) -> None:
    with pytest.raises(Unheld) as caught:
        await proven(FakeWorkshop(said(**changes)))
    assert f"does not hold the sandbox's limit of {limit}: a trial found {found}. " in str(caught.value)


async def test_a_host_whose_apparmor_holds_both_is_accepted() -> None:
    await proven(FakeWorkshop(said(apparmor="vps-executor//&vps-sandbox (enforce)")), apparmor=True)


@pytest.mark.parametrize(
    "label", ["Invalid argument", "unconfined", "vps-executor (enforce)", "vps-executor//&vps-sandbox (mixed)"]
)
async def test_a_host_whose_apparmor_does_not_hold_both_is_told_what_to_do(label: str) -> None:
    with pytest.raises(Unheld, match=r"load infra/host/apparmor/\*, or set engine.apparmor to false") as caught:
        await proven(FakeWorkshop(said(apparmor=label)), apparmor=True)
    assert label in str(caught.value)
    await proven(FakeWorkshop(said(apparmor=label)))


async def test_a_share_of_the_processors_that_does_not_hold_is_named() -> None:
    with pytest.raises(Unheld, match=r"limit of 0\.5 processors: a trial found a share of 0\.70"):
        await proven(FakeWorkshop(said(), cpu_seconds=0.7))


@pytest.mark.parametrize("name", HELD)
async def test_a_limit_of_which_nothing_was_said_does_not_hold(name: str) -> None:
    kept = "".join(line for line in said().splitlines(keepends=True) if not line.startswith(f"{name} "))
    with pytest.raises(Unheld, match="nothing"):
        await proven(FakeWorkshop(kept))


@pytest.mark.parametrize("words", ["", "Killed\n", "processes\n"])
async def test_a_probe_that_says_something_else_is_no_proof(words: str) -> None:
    with pytest.raises(Unheld, match="50 processes"):
        await proven(FakeWorkshop(words))
