"""Processes and the pipes to them, with real ones."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.executor.processes import STATUS, STDERR, STDIN, STDOUT, Child, Pipes, spawn, write_all
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[3]


@pytest.fixture
def pipes() -> Iterator[Pipes]:
    pipes = Pipes()
    yield pipes
    pipes.close()


def shell(script: str, pipes: Pipes) -> Child:
    return spawn(["/bin/sh", "-c", script], pipes)


def descriptors() -> set[str]:
    return {found.name for found in Path("/proc/self/fd").iterdir()}


OPEN = """
import json, os
os.write(1, b"out " + os.read(0, 99))
os.write(2, b"err\\n")
links = {}
for number in os.listdir("/proc/self/fd"):
    try: links[int(number)] = os.readlink("/proc/self/fd/" + number)
    except OSError: pass  # os.listdir's own descriptor, closed by now
os.write(3, json.dumps(sorted(links)).encode())
"""


C_LIBRARYS_OWN = 0b11 << 31
"""Signals 32 and 33 in a mask. Who starts the tests may ignore them, and a program can't change that."""


def _is_inherited(descriptor: int) -> bool:
    try:
        return os.get_inheritable(descriptor)
    except OSError:
        return False


async def test_a_process_has_the_four_pipes_and_no_other_descriptor(pipes: Pipes) -> None:
    child = spawn([sys.executable, "-ISc", OPEN], pipes)
    await write_all(pipes.ours[STDIN], b"typed\n")
    assert await child.wait() == 0
    assert pipes.take(STDOUT, 99) == b"out typed\n"
    assert pipes.take(STDERR, 99) == b"err\n"
    passed_on = {number for number in map(int, descriptors()) if number > STATUS and _is_inherited(number)}
    assert set(json.loads(pipes.take(STATUS, 999))) == {STDIN, STDOUT, STDERR, STATUS} | passed_on


async def test_what_python_ignores_and_blocks_is_not_inherited(pipes: Pipes) -> None:
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN
    await shell("grep -E 'Sig(Ign|Blk)' /proc/self/status", pipes).wait()
    masks = [int(line.split()[1], 16) for line in pipes.take(STDOUT, 999).splitlines()]
    assert [mask & ~C_LIBRARYS_OWN for mask in masks] == [0, 0]


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", -9), ("exit 137", 137)])
async def test_an_exit_code_and_a_signal_are_told_apart(pipes: Pipes, script: str, code: int) -> None:
    assert await shell(script, pipes).wait() == code


async def test_several_may_wait_and_one_may_give_up(pipes: Pipes) -> None:
    child = shell("read line; exit 3", pipes)
    waits = [asyncio.create_task(child.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()
    pipes.close_ours(STDIN)
    assert await asyncio.gather(*waits[1:], child.wait()) == [3, 3, 3]


async def test_killing_and_signalling(pipes: Pipes) -> None:
    child = shell("trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.01; done", pipes)
    await comes_to_hold(lambda: pipes.take(STDOUT, 99))
    child.signal(signal.SIGTERM)
    assert await child.wait() == 5
    child.kill()  # A signal to an ended child does nothing, even if its PID is in use again.
    child.signal(signal.SIGTERM)


async def test_a_killed_process(pipes: Pipes) -> None:
    child = shell("exec sleep 60", pipes)
    child.kill()
    assert await child.wait() == -signal.SIGKILL


async def test_a_process_that_has_ended_and_was_reaped_already() -> None:
    ended = await asyncio.create_subprocess_exec("true")
    await ended.wait()
    child = Child(ended.pid)
    assert await child.wait() == 0
    child.kill()


async def test_a_process_that_its_own_parent_reaps() -> None:
    script = "sleep 0.1 & echo $!; wait"
    other = await asyncio.create_subprocess_exec("/bin/sh", "-c", script, stdout=subprocess.PIPE)
    assert other.stdout is not None
    child = Child(int(await other.stdout.readline()))
    assert await child.wait() == 0
    await other.wait()


async def test_no_descriptor_and_no_zombie_is_left() -> None:
    before = descriptors()
    for _ in range(20):
        pipes = Pipes()
        child = shell("exit 1", pipes)
        await child.wait()
        pipes.close()
    assert descriptors() == before
    with pytest.raises(ProcessLookupError):
        os.kill(child.pid, 0)


async def test_a_program_that_does_not_exist_is_an_error_and_leaves_the_pipes(pipes: Pipes) -> None:
    with pytest.raises(FileNotFoundError):
        spawn(["/no/such/program"], pipes)
    assert len(pipes.theirs) == 4


async def test_a_pipe_from_which_nothing_comes(pipes: Pipes) -> None:
    assert pipes.take(STDOUT, 99) == b""
    pipes.close_ours(STDOUT)
    pipes.close_ours(STDOUT)
    assert pipes.take(STDOUT, 99) == b""
    assert Pipes.none().take(STDERR, 99) == b""


async def test_more_than_a_pipe_holds_is_written_as_the_reader_makes_room(pipes: Pipes) -> None:
    child = shell("sleep 0.1; wc -c", pipes)
    await write_all(pipes.ours[STDIN], b"x" * 500_000)
    pipes.close_ours(STDIN)
    await child.wait()
    assert pipes.take(STDOUT, 99).strip() == b"500000"


async def test_writing_to_a_process_that_does_not_read_can_be_given_up_or_fails_at_its_end(pipes: Pipes) -> None:
    child = shell("exec sleep 60", pipes)
    writing = asyncio.create_task(write_all(pipes.ours[STDIN], b"x" * 500_000))
    await asyncio.sleep(0.05)
    writing.cancel()
    await asyncio.wait([writing])
    again = asyncio.create_task(write_all(pipes.ours[STDIN], b"x"))
    await asyncio.sleep(0.05)
    child.kill()
    with pytest.raises(BrokenPipeError):
        await again


ORPHANS = """
import asyncio, ctypes, os
from app.executor.processes import Pipes, reap_orphans, spawn

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1)

def zombies():
    found = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            state, parent = open(f"/proc/{process}/stat").read().rpartition(")")[2].split()[:2]
            found += (state, parent) == ("Z", str(os.getpid()))
        except OSError:
            pass
    return found

async def main():
    pipes = Pipes()
    child = spawn(["/bin/sh", "-c", "for n in 1 2 3; do (exit 1) & done; sleep 0.2 & exit 4"], pipes)
    own = spawn(["/bin/sh", "-c", "exit 5"], Pipes())
    code = await child.wait()
    await asyncio.sleep(0.5)
    before = zombies()
    late = spawn(["/bin/sh", "-c", "exit 6"], Pipes())
    while not os.waitid(os.P_PID, late.pid, os.WEXITED | os.WNOWAIT):
        pass
    reap_orphans()
    print(before > 0, zombies(), code, await own.wait(), await late.wait())
    reap_orphans()

asyncio.run(main())
"""


def test_orphans_are_reaped_and_no_child_loses_its_exit_code() -> None:
    ended = subprocess.run([sys.executable, "-c", ORPHANS], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.stdout, ended.stderr) == ("True 0 4 5 6\n", "")


async def test_waiting_takes_no_processor_time(pipes: Pipes) -> None:
    child = shell("sleep 0.3", pipes)
    before = time.process_time()
    await child.wait()
    assert time.process_time() - before < 0.1
