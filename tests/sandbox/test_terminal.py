"""Programs with a pseudo terminal, and with one pipe for stdout and stderr."""

import json

import pytest

from app.profile import FLOOR
from app.runtimes import RUNTIMES
from tests.sandbox.processes import RUNTIME, Answer, Platform

GVISOR = RUNTIMES[RUNTIME].own_kernel
"""Its terminals echo control characters as they are, and it has no /dev/tty."""
CTRL_C, CTRL_Z = ("\x03", "\x1a") if GVISOR else ("^C", "^Z")
SIZE = {"columns": 80, "rows": 24}
BOTH = {
    "python": "import sys\nfor n in range(50):\n    print(f'a{n}')\n    print(f'b{n}', file=sys.stderr)",
    "node": "for (let n = 0; n < 50; n++) { console.log('a' + n); console.error('b' + n) }",
    "bash": "for n in {0..49}; do echo a$n; echo b$n >&2; done",
}
"""Programs that write to stdout and stderr by turns."""


def run(platform: Platform, environment: str, code: str, *typed: tuple[str, str], **more: object) -> Answer:
    """The result of code in a terminal, where each text is typed after some output has come."""
    with platform.stream(environment, code, terminal=SIZE, **more) as stream:
        for output, text in typed:
            stream.until_output(output)
            stream.send("stdin", data=text)
        return stream.end()


@pytest.mark.parametrize("environment", BOTH)
def test_merged_output_keeps_its_order(platform: Platform, environment: str) -> None:
    result = platform.run(environment, BOTH[environment], merge=True)
    assert result["stdout"].split() == [f"{stream}{n}" for n in range(50) for stream in "ab"]
    assert (result["output"], result["stderr"], result["status"]) == (result["stdout"], "", "success")


def test_merged_output_has_one_limit(platform: Platform) -> None:
    code = "import sys\nwhile True: print('out'); print('err', file=sys.stderr)"
    result = platform.run("python", code, merge=True)
    assert (result["status"], len(result["stdout"]), result["stderr"]) == ("output_limit", FLOOR.output_kb * 1024, "")


def test_a_terminal_is_the_programs_own(platform: Platform) -> None:
    code = """
import fcntl, json, os, struct, sys, termios
print(json.dumps({
    "terminals": [os.isatty(number) for number in range(3)],
    "name": os.ttyname(0),
    "leader": os.getsid(0),
    "controlling": gvisor or os.isatty(os.open("/dev/tty", os.O_RDWR)),
    "foreground": os.tcgetpgrp(0) == os.getpgrp(),
    "size": os.get_terminal_size(),
    "TERM": os.environ["TERM"],
    "pid 1": not gvisor and os.access("/proc/1/fd", os.R_OK),
}))
"""
    assert json.loads(run(platform, "python", f"gvisor = {GVISOR}\n{code}")["stdout"]) == {
        "terminals": [True, True, True],
        "name": "/dev/pts/0",
        "leader": 1,
        "controlling": True,
        "foreground": True,
        "size": [80, 24],
        "TERM": "xterm-256color",
        "pid 1": False,
    }


def test_input_prompts_and_is_echoed(platform: Platform) -> None:
    result = run(platform, "python", "print('Hello,', input('Who? '))", ("Who? ", "Ada\r"))
    assert (result["status"], result["stdout"], result["stderr"]) == ("success", "Who? Ada\r\nHello, Ada\r\n", "")


def test_what_is_typed_before_the_program_reads_is_kept(platform: Platform) -> None:
    result = run(platform, "python", "print(input(), input())", stdin="one\ntwo\n")
    assert result["stdout"].endswith("one two\r\n")


@pytest.mark.parametrize(
    ("environment", "code", "prompt"),
    [
        ("python", "import readline\nprint('got', input('> '))", "> "),
        (
            "node",
            "const io = require('readline').createInterface({ input: process.stdin, output: process.stdout })\n"
            "io.question('> ', (line) => { console.log('got', line); io.close() })",
            "> ",
        ),
        ("bash", "read -e -p '> ' line; echo got $line", "> "),
    ],
)
def test_lines_are_edited(platform: Platform, environment: str, code: str, prompt: str) -> None:
    left = "\x1b[D"
    result = run(platform, environment, code, (prompt, f"abcx\x7fd{left}{left}e\r"))
    assert (result["status"], result["exit_code"]) == ("success", 0)
    assert result["stdout"].endswith("got abecd\r\n")


def test_the_terminal_itself_edits_whole_characters(platform: Platform) -> None:
    result = run(platform, "python", "print('up')\nprint(ascii(input()))", ("up", "aü\x7fb\r"))
    assert result["stdout"].endswith("'ab'\r\n")


def test_colours_are_for_terminals(platform: Platform) -> None:
    result = run(platform, "bash", "touch f; ls --color=auto -d /tmp; grep --color=auto o <<<oo")
    assert result["stdout"].count("\x1b[") >= 4


def test_resizing_reaches_the_program(platform: Platform) -> None:
    code = """
import os, signal, time
sizes = []
signal.signal(signal.SIGWINCH, lambda *_: sizes.append(tuple(os.get_terminal_size())))
print("up")
while not sizes: time.sleep(0.02)
print(sizes[0])
"""
    with platform.stream("python", code, terminal=SIZE) as stream:
        stream.until_output("up")
        stream.send("resize", columns=100, rows=50)
        assert stream.end()["stdout"] == "up\r\n(100, 50)\r\n"


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("try: input('up')\nexcept KeyboardInterrupt: print('caught')", ("success", 0, None)),
        ("print('up')\nwhile True: pass", ("error", 130, "SIGINT")),
    ],
)
def test_ctrl_c_is_sigint(platform: Platform, code: str, end: tuple[object, ...]) -> None:
    result = run(platform, "python", code, ("up", "\x03"))
    assert (result["status"], result["exit_code"], result["signal"]) == end
    assert CTRL_C in result["stdout"]


def test_ctrl_c_reaches_the_foreground_group_alone(platform: Platform) -> None:
    wait = "while :; do sleep 0.05; done"
    code = f"set -m; sleep 60 & (trap 'echo inner; exit 3' INT; echo up; {wait}); echo $?; kill %1 && echo alive"
    result = run(platform, "bash", code, ("up", "\x03"))
    assert result["stdout"] == f"up\r\n{CTRL_C}inner\r\n3\r\nalive\r\n"


def test_ctrl_z_stops_nothing_for_ever(platform: Platform) -> None:
    assert run(platform, "bash", "echo up; sleep 1; echo on", ("up", "\x1a"))["stdout"] == f"up\r\n{CTRL_Z}on\r\n"


@pytest.mark.parametrize("way", ["key", "frame"])
def test_ctrl_d_ends_the_input(platform: Platform, way: str) -> None:
    with platform.stream("python", "import sys\nprint('up')\nprint(sys.stdin.read())", terminal=SIZE) as stream:
        stream.until_output("up\r\n")
        stream.send("stdin", data="all\r")
        if way == "key":
            stream.send("stdin", data="\x04")
        else:
            stream.send("stdin_end")
        assert stream.end()["stdout"] == "up\r\nall\r\nall\r\n\r\n"


def test_a_shell_has_job_control(platform: Platform) -> None:
    result = run(platform, "bash", "bash --norc -i", ("$ ", "echo $((6 * 7))\r"), ("42", "exit\r"))
    assert "42" in result["stdout"]
    assert "job control" not in result["stdout"]


def test_all_is_read_when_the_program_has_ended(platform: Platform) -> None:
    result = run(platform, "python", "print('x' * 10000)")
    assert result["stdout"] == "x" * 10000 + "\r\n"


def test_the_output_of_a_screen_program_is_bounded(platform: Platform) -> None:
    code = "while :; do printf '\\e[H\\e[2J'; for n in {1..24}; do printf '\\e[%d;1H%080d' $n 0; done; done"
    result = run(platform, "bash", code)
    assert (result["status"], len(result["stdout"])) == ("output_limit", FLOOR.output_kb * 1024)


def test_input_that_nobody_reads_waits_and_can_be_interrupted(platform: Platform) -> None:
    # Python sleeps through a signal that comes right before the sleep begins.
    code = "import os, time\nos.system('stty -echo')\nprint('up')\nwhile True: time.sleep(0.05)"
    with platform.stream("python", code, terminal=SIZE) as stream:
        stream.until_output("up")
        stream.send("stdin", data="line\n" * 10_000)
        stream.send("signal", signal="SIGINT")
        assert stream.end()["signal"] == "SIGINT"


def test_much_input_arrives_whole_beside_output(platform: Platform) -> None:
    code = """
import os, sys
os.system("stty -echo")
print("up")
lines = [sys.stdin.readline() for _ in range(6000)]
print(len(lines), set(lines))
"""
    result = run(platform, "python", code, ("up", "123456789\n" * 6000))
    assert result["stdout"] == "up\r\n6000 {'123456789\\n'}\r\n"


def test_a_terminal_counts_among_the_sandboxes_16(platform: Platform) -> None:
    code = """
import os
try:
    while True: os.openpty()
except OSError as error: print(error.strerror, len(os.listdir("/dev/pts")) - 1)
"""
    said = run(platform, "python", code)["stdout"]
    # gVisor ignores the limit: its terminals are the memory of a kernel that the sandbox has for itself.
    assert said.startswith("Too many open files") if GVISOR else said == "No space left on device 16\r\n"


def test_a_client_that_hangs_up_ends_its_program(platform: Platform) -> None:
    code = "import signal\nsignal.signal(signal.SIGHUP, signal.SIG_IGN)\nprint('up')\nwhile True: input()"
    with platform.stream("python", code, terminal=SIZE) as stream:
        stream.until_output("up")
    platform.wait_until_idle()


def test_only_a_stream_has_a_terminal(platform: Platform) -> None:
    response = platform.post("python", "1", terminal=SIZE)
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert "/execute/stream" in response.json()["detail"]


@pytest.mark.parametrize("size", [{"columns": 0, "rows": 24}, {"columns": 80, "rows": 501}, {"columns": 80}])
def test_a_size_has_bounds(platform: Platform, size: dict[str, int]) -> None:
    with platform.stream("python", "input()", terminal=SIZE) as stream:
        stream.send("resize", **size)
        assert stream.end()["code"] == "invalid_request"
    with platform.stream("python", "input()", terminal=size) as stream:
        assert stream.end()["code"] == "invalid_request"


def test_without_a_terminal_nothing_is_resized(platform: Platform) -> None:
    with platform.stream("python", "input()") as stream:
        stream.send("resize", **SIZE)
        assert stream.end()["code"] == "invalid_request"
