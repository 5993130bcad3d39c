"""A sandbox's run, with a program of this machine in the place of its PID 1 and a control group that says what it is
told to."""

import asyncio
import os
import struct
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from app.executor import sandbox as sandbox_module
from app.executor.cgroups import Group, Usage
from app.executor.engine import EngineError, Exhausted, Outcome, Visitor
from app.executor.processes import Pipes, spawn
from app.executor.sandbox import OciSandbox
from app.executor.transcript import Stream
from app.profile import SandboxProfile
from app.wire.protocol import (
    Cancel,
    Command,
    EndOfInput,
    Execution,
    File,
    Input,
    Interrupt,
    Resize,
    Status,
    Terminal,
)
from tests.waiting import comes_to_hold

pytestmark = pytest.mark.anyio

INIT = """
import ctypes, os, signal, sys
started, start = os.pipe()
child = os.fork()
if child == 0:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    os.setsid()
    os.read(started, 1)
    os.execvp(sys.argv[1], sys.argv[1:])
for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda sent, _: os.killpg(child, sent))
os.write(3, bytes(1))
os.write(start, bytes(1))
os.write(3, os.waitpid(child, 0)[1].to_bytes(4, sys.byteorder))
"""
"""What images/executor/init.c does. This one is there before it is compiled.

Its child is killed when it ends, as the kernel kills all processes of a PID namespace with its PID 1.
"""
NOTHING = Usage(cpu_seconds=0.0, memory_peak=None, memory_kills=0, pids_refused=0)


class FakeGroup:
    """A control group with the usage that the test sets, and what it lacks."""

    def __init__(self) -> None:
        self.said = NOTHING
        self.lacks: str | None = None

    def begin(self) -> None:
        self.lacks = None

    def lacking(self, used: Usage) -> str | None:
        return self.lacks

    def cpu_seconds(self) -> float:
        return self.said.cpu_seconds

    def usage(self) -> Usage:
        return self.said


class Sender(Visitor):
    """Sends each command once the output that it answers has come."""

    def __init__(self, *commands: tuple[str, Command]) -> None:
        self._todo = list(commands)
        self._wrote = asyncio.Event()
        self.said: list[tuple[Stream, str]] = []
        self.ids: list[str] = []

    @property
    def commands(self) -> AsyncIterator[Command] | None:
        return self._given() if self._todo else None

    async def _given(self) -> AsyncIterator[Command]:
        for text, command in self._todo:
            while text not in "".join(written for _, written in self.said):
                self._wrote.clear()
                await self._wrote.wait()
            yield command
        await asyncio.Event().wait()

    def started(self, execution_id: str) -> None:
        self.ids.append(execution_id)

    def output(self, stream: Stream, text: str) -> None:
        self.said.append((stream, text))
        self._wrote.set()


class Bench:
    """Makes sandboxes in a folder of this machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._numbers = count()
        self.group = FakeGroup()
        self.profile = SandboxProfile(timeout_seconds=20)
        self.own_kernel = False
        self.made: list[OciSandbox] = []

    def sandbox(self, *command: str) -> OciSandbox:
        """A sandbox whose PID 1 runs this command. Without a command nothing is started."""
        folder = self._folder / str(next(self._numbers))
        (folder / "tmp").mkdir(parents=True)
        group = cast(Group, self.group)
        sandbox = OciSandbox("0" * 32, self.profile, 0, folder, group, own_kernel=self.own_kernel)
        self.made.append(sandbox)
        if command:
            self.start(sandbox, *command)
        return sandbox

    def start(self, sandbox: OciSandbox, *command: str, merge: bool = False) -> None:
        pipes = Pipes.merged() if merge else Pipes()
        sandbox.attach(spawn([sys.executable, "-ISc", INIT, *command], pipes), pipes)

    async def waiting(self, *command: str, main: str = "main.sh") -> OciSandbox:
        """A sandbox whose interpreter waits for its code."""
        sandbox = self.sandbox()
        sandbox.await_code(main)
        self.start(sandbox, *(command or ("/bin/sh",)), str(sandbox.tmp / main))
        await sandbox.ready()
        return sandbox


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bench]:
    monkeypatch.setattr(os, "chown", lambda *_: None)
    bench = Bench(tmp_path)
    yield bench
    for sandbox in bench.made:
        await sandbox.end()


def descriptors() -> set[str]:
    return {found.name for found in Path("/proc/self/fd").iterdir()}


def code(text: str, **more: Any) -> Execution:
    return Execution(environment="bash", code=text, **more)


async def run(bench: Bench, text: str, visitor: Sender | None = None, **more: Any) -> Outcome:
    """The outcome of a shell script in a sandbox that waited for it."""
    sandbox = await bench.waiting()
    try:
        return await sandbox.run(code(text, **more), visitor or Sender())
    finally:
        await sandbox.end()


async def test_an_interpreter_that_waits_gets_its_code(bench: Bench) -> None:
    visitor = Sender()
    outcome = await run(bench, "echo out; echo err >&2; cat; exit 3", visitor, stdin="typed\n")
    assert (outcome.status, outcome.exit_code, outcome.signal) == (Status.ERROR, 3, None)
    assert (outcome.transcript.stdout, outcome.transcript.stderr) == ("out\ntyped\n", "err\n")
    assert visitor.ids == ["0" * 32]
    assert "".join(text for stream, text in visitor.said if stream is Stream.STDOUT) == "out\ntyped\n"


async def test_the_script_is_a_plain_file_when_the_code_looks(bench: Bench) -> None:
    outcome = await run(bench, 'cd "${0%/*}"; test -f main.sh && tail -c 6 main.sh; ls -A\n# end\n')
    assert outcome.transcript.stdout == "# end\nmain.sh\n"


async def test_a_visitors_file_may_be_called_as_one_of_ours(bench: Bench) -> None:
    files = (
        File(name="main.sh", content='cat "${0%/*}/.main.sh.new"'),
        File(name=".main.sh.new", content="mine"),
    )
    sandbox = await bench.waiting()
    outcome = await sandbox.run(Execution(environment="bash", files=files), Sender())
    await sandbox.end()
    assert (outcome.status, outcome.transcript.stdout) == (Status.SUCCESS, "mine")


async def test_a_run_made_to_order(bench: Bench) -> None:
    sandbox = bench.sandbox()
    execution = code('echo "$@" >results/a.txt', args=("a", "b"), results=("*",))
    sandbox.place(execution)
    bench.start(sandbox, "/bin/sh", "-c", f"cd {sandbox.tmp} && exec sh main.sh a b")
    await sandbox.ready()
    outcome = await sandbox.run(execution, Sender())
    await sandbox.end()
    assert (outcome.status, [file.name for file in outcome.files]) == (Status.SUCCESS, ["a.txt"])


@pytest.mark.parametrize(
    ("text", "exit_code", "signal"),
    [
        ("exit 0", 0, None),
        ("exit 137", 137, None),
        ("kill -9 $$", 137, "SIGKILL"),
        ("kill -TERM $$", 143, "SIGTERM"),
        ("kill -40 $$", 168, "SIG40"),
    ],
)
async def test_an_exit_by_a_signal_and_one_with_its_number_are_told_apart(
    bench: Bench, text: str, exit_code: int, signal: str | None
) -> None:
    outcome = await run(bench, text)
    assert (outcome.exit_code, outcome.signal) == (exit_code, signal)


@pytest.mark.parametrize(
    ("text", "used", "status"),
    [
        ("exit 1", {"memory_kills": 1}, Status.MEMORY_LIMIT),
        ("exit 0", {"memory_kills": 1, "pids_refused": 1}, Status.SUCCESS),
        ("exit 1", {"pids_refused": 4}, Status.PROCESS_LIMIT),
        ("exit 1", {}, Status.ERROR),
    ],
)
async def test_what_the_kernel_refused_is_the_status_of_code_that_failed(
    bench: Bench, text: str, used: dict[str, int], status: Status
) -> None:
    """The count begins with the sandbox: code made to order may be refused before the executor reads the counter."""
    bench.group.said = replace(NOTHING, **used)
    assert (await run(bench, text)).status == status


class Refusing(Sender):
    """Something is refused to the code below its own limits, once it has written something."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench

    def output(self, stream: Stream, text: str) -> None:
        super().output(stream, text)
        self._bench.group.lacks = "memory"


@pytest.mark.parametrize("text", ["echo; exit 1", "echo; kill -9 $$", "echo; sleep 0.2; kill -9 $PPID; sleep 60"])
async def test_code_that_failed_for_what_the_platform_lacks_is_no_result(bench: Bench, text: str) -> None:
    bench.group.said = replace(NOTHING, memory_kills=1)
    with pytest.raises(Exhausted, match="have no memory left"):
        await run(bench, text, Refusing(bench))


async def test_code_that_succeeded_has_a_result_whatever_the_platform_lacks(bench: Bench) -> None:
    assert (await run(bench, "echo; exit 0", Refusing(bench))).status == Status.SUCCESS


async def test_what_the_platform_lacked_before_the_code_is_not_its_end(bench: Bench) -> None:
    sandbox = await bench.waiting()
    bench.group.lacks = "processes"
    assert (await sandbox.run(code("exit 1"), Sender())).status == Status.ERROR
    await sandbox.end()


async def test_processor_time_is_the_codes_and_not_that_of_a_sandbox_that_waits(bench: Bench) -> None:
    class Spender(Sender):
        def output(self, stream: Stream, text: str) -> None:
            super().output(stream, text)
            bench.group.said = replace(NOTHING, cpu_seconds=1.25, memory_peak=7)

    sandbox = await bench.waiting()
    bench.group.said = replace(NOTHING, cpu_seconds=1.0)
    outcome = await sandbox.run(code("echo"), Spender())
    await sandbox.end()
    assert (outcome.cpu_time, outcome.memory_peak) == (0.25, 7)


async def test_a_sandbox_that_is_killed_from_outside(bench: Bench) -> None:
    """PID 1 has not told how the code ended."""
    outcome = await run(bench, "kill -9 $PPID; sleep 60")
    assert (outcome.status, outcome.exit_code) == (Status.KILLED, None)


@pytest.mark.parametrize(
    ("told", "status", "exit_code"),
    [
        (r"\0\1\1\0", Status.PROCESS_LIMIT, 1),
        (r"\177\23\0\0", Status.KILLED, None),
        (r"\377\377\377\377", Status.KILLED, None),
        (r"\0\1", Status.KILLED, None),
    ],
)
async def test_whatever_is_told_in_place_of_pid_1_has_a_status(
    bench: Bench, told: str, status: Status, exit_code: int | None
) -> None:
    """PID 1 sets a bit when the limit of processes was used up. Under gVisor, code can write to its descriptor."""
    outcome = await run(bench, f"printf '{told}' >&3; kill -9 $PPID; sleep 60")
    assert (outcome.status, outcome.exit_code) == (status, exit_code)
    bench.group.said = replace(NOTHING, memory_kills=1)
    assert (await run(bench, "kill -9 $PPID; sleep 60")).status == Status.MEMORY_LIMIT


@pytest.mark.parametrize(("own_kernel", "said"), [(False, "out\n"), (True, "out\nlate\n")])
async def test_a_run_ends_when_pid_1_says_so_or_is_gone_where_others_could_say_it(
    bench: Bench, own_kernel: bool, said: str
) -> None:
    bench.own_kernel = own_kernel
    outcome = await run(bench, r"echo out; printf '\0\0\0\0' >&3; sleep 0.5; echo late")
    assert (outcome.status, outcome.exit_code, outcome.transcript.stdout) == (Status.SUCCESS, 0, said)


async def test_the_deadline(bench: Bench) -> None:
    started = time.monotonic()
    outcome = await run(bench, "echo begun; sleep 60", timeout=0.5)
    assert time.monotonic() - started < 10
    assert (outcome.status, outcome.transcript.stdout, outcome.exit_code) == (Status.TIMEOUT, "begun\n", None)


async def test_too_much_output(bench: Bench) -> None:
    bench.profile = SandboxProfile(output_kb=1)
    outcome = await run(bench, "while :; do echo 0123456789; done")
    assert (outcome.status, len(outcome.transcript.output)) == (Status.OUTPUT_LIMIT, 1024)


async def test_all_output_is_read_when_the_code_has_ended(bench: Bench) -> None:
    bench.profile = SandboxProfile(output_kb=10)
    outcome = await run(bench, "head -c 10240 /dev/zero | tr '\\0' x")
    assert (outcome.status, outcome.transcript.stdout) == (Status.SUCCESS, "x" * 10240)


async def test_a_conversation(bench: Bench) -> None:
    visitor = Sender(("up", Input(data="one\n")), ("one", Input(data="two\n")), ("two", EndOfInput()))
    outcome = await run(bench, "echo up; cat", visitor)
    assert (outcome.status, outcome.transcript.stdout) == (Status.SUCCESS, "up\none\ntwo\n")


async def test_merged_output_is_one_text_in_order(bench: Bench) -> None:
    sandbox = bench.sandbox()
    bench.start(sandbox, "/bin/sh", "-c", "for n in 0 1 2 3 4 5 6 7 8 9; do echo a$n; echo b$n >&2; done", merge=True)
    outcome = await sandbox.run(code("as above", merge=True), Sender())
    await sandbox.end()
    expected = "".join(f"a{n}\nb{n}\n" for n in range(10))
    transcript = outcome.transcript
    assert (transcript.stdout, transcript.output, transcript.stderr) == (expected, expected, "")


async def test_pid_1_of_a_terminal_is_sent_records(bench: Bench) -> None:
    sandbox = bench.sandbox()
    bench.start(sandbox, "/bin/sh", "-c", "echo up; head -c 37 | od -An -v -tx1 -w37", merge=True)
    commands = (Input(data="zü\r"), Resize(columns=100, rows=50), EndOfInput())
    visitor = Sender(*(("up", command) for command in commands))
    execution = code("as above", stdin="", terminal=Terminal(columns=80, rows=24))
    said = (await sandbox.run(execution, visitor)).transcript.stdout
    await sandbox.end()
    records = ((0, 0, b""), (0, 0, "zü\r".encode()), (100, 50, b""), (0, 0, b"\x04"))
    sent = b"".join(struct.pack("=HHI", columns, rows, len(data)) + data for columns, rows, data in records)
    assert bytes.fromhex(said.removeprefix("up\n")) == sent


async def test_an_interrupt_reaches_the_code(bench: Bench) -> None:
    visitor = Sender(("up", Interrupt(signal="SIGINT")))
    outcome = await run(bench, "trap 'echo bye; exit 4' INT; echo up; while :; do :; done", visitor)
    assert (outcome.exit_code, outcome.transcript.stdout) == (4, "up\nbye\n")


@pytest.mark.parametrize("command", [Cancel(), Interrupt(signal="SIGTERM")])
async def test_a_command_is_obeyed_while_input_waits_for_code_that_reads_none(bench: Bench, command: Command) -> None:
    visitor = Sender(("", Input(data="x" * 300_000)), ("up", command))
    started = time.monotonic()
    outcome = await run(bench, "echo up; sleep 60", visitor)
    assert time.monotonic() - started < 10
    assert outcome.status == (Status.KILLED if isinstance(command, Cancel) else Status.ERROR)


async def test_input_after_its_end_and_for_code_that_closed_it_is_dropped(bench: Bench) -> None:
    visitor = Sender(("", EndOfInput()), ("", Input(data="late")), ("", EndOfInput()))
    assert (await run(bench, "cat; sleep 0.2", visitor)).transcript.stdout == ""
    outcome = await run(bench, "exec <&-; echo closed; sleep 0.2; exit 5", stdin="x" * 60_000)
    assert (outcome.exit_code, outcome.transcript.stdout) == (5, "closed\n")


async def test_code_that_ends_before_its_interpreter_has_read_it_all(bench: Bench) -> None:
    outcome = await run(bench, "exit 7\n" + "# a comment\n" * 20_000)
    assert outcome.exit_code == 7


async def test_a_run_that_is_cancelled_leaves_no_process(bench: Bench) -> None:
    sandbox = await bench.waiting()
    visitor = Sender()
    running = asyncio.create_task(sandbox.run(code("echo $PPID; sleep 60"), visitor))
    await comes_to_hold(lambda: visitor.said)
    running.cancel()
    await asyncio.wait([running])
    assert running.cancelled()
    await sandbox.end()
    with pytest.raises(ProcessLookupError):
        os.kill(int(visitor.said[0][1]), 0)


async def test_a_run_whose_sandbox_is_ended_fails(bench: Bench) -> None:
    """Close the connections as a stopping executor does."""
    sandbox = await bench.waiting()
    visitor = Sender()
    running = asyncio.create_task(sandbox.run(code("echo up; sleep 60"), visitor))
    await comes_to_hold(lambda: visitor.said)
    await sandbox.end()
    with pytest.raises(EngineError, match="stopping"):
        await running


async def test_an_interpreter_that_ends_before_it_waits_is_reported_at_once(bench: Bench) -> None:
    started = time.monotonic()
    with pytest.raises(EngineError, match=r"has ended before it waited for code: .*no-such-interpreter"):
        await bench.waiting("/bin/sh", "-c", "echo no-such-interpreter >&2; exit 127")
    assert time.monotonic() - started < 10


async def test_an_interpreter_that_does_not_wait_is_reported(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox_module, "_READY_SECONDS", 0.3)
    with pytest.raises(EngineError, match=r"did not wait for code within 0\.3 s: it has said nothing"):
        await bench.waiting("/bin/sh", "-c", "sleep 60")


async def test_a_sandbox_that_cannot_be_read_fails_its_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    sandbox = await bench.waiting()

    def gone() -> Usage:
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(bench.group, "usage", gone)
    with pytest.raises(EngineError, match="the sandbox can't be used"):
        await sandbox.run(code("exit 0"), Sender())
    await sandbox.end()


async def test_no_descriptor_is_left(bench: Bench) -> None:
    before = descriptors()
    for _ in range(3):
        await run(bench, "echo x")
    assert descriptors() <= before  # Fewer, if the garbage of an earlier test was collected.
