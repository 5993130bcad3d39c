"""Streams of the executor: output while the code runs, input, signals and cancelling."""

import json
import time

import pytest
from websockets.exceptions import ConnectionClosed

from app.profile import FLOOR
from tests.sandbox.processes import Platform

ECHO = "for line in iter(input, 'end'): print('got', line)"


def test_output_arrives_while_the_code_runs(platform: Platform) -> None:
    with platform.stream("python", "import time\nprint('a')\ntime.sleep(3)\nprint('b')") as stream:
        started = stream.receive()
        assert (started["type"], started["environment"], len(started["execution_id"])) == ("started", "python", 32)
        begun = time.monotonic()
        stream.until_output("a")
        assert time.monotonic() - begun < 2.5
        result = stream.end()
    assert (result["type"], result["status"], result["stdout"]) == ("result", "success", "a\nb\n")
    assert result["execution_id"] == started["execution_id"]


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ("python", ECHO),
        (
            "node",
            "require('readline').createInterface(process.stdin).on('line', (line) => "
            "line === 'end' ? process.exit() : console.log('got', line))",
        ),
        ("bash", 'while read -r line && [[ $line != end ]]; do echo "got $line"; done'),
    ],
)
def test_a_dialogue(platform: Platform, environment: str, code: str) -> None:
    with platform.stream(environment, code, stdin="first\n") as stream:
        stream.until_output("got first\n")
        for word in ("zwölf", "x"):
            stream.send("stdin", data=f"{word}\n")
            stream.until_output(f"got {word}\n")
        stream.send("stdin", data="end\n")
        assert stream.end()["status"] == "success"


def test_stdin_end_closes_the_codes_stdin(platform: Platform) -> None:
    with platform.stream("python", "import sys; print('up'); print(sys.stdin.read())") as stream:
        stream.until_output("up\n")
        stream.send("stdin", data="all")
        stream.send("stdin_end")
        assert stream.end()["stdout"] == "up\nall\n"


def test_sigint_is_delivered(platform: Platform) -> None:
    # Python sleeps through a signal that comes right before the sleep begins.
    sleep = "while True: time.sleep(0.05)"
    code = f"import time\ntry:\n    print('up')\n    {sleep}\nexcept KeyboardInterrupt: print('interrupted')"
    with platform.stream("python", code) as stream:
        stream.until_output("up\n")
        stream.send("signal", signal="SIGINT")
        result = stream.end()
    assert (result["status"], result["stdout"]) == ("success", "up\ninterrupted\n")


def test_sigint_that_the_code_does_not_handle(platform: Platform) -> None:
    with platform.stream("python", "print('up')\nwhile True: pass") as stream:
        stream.until_output("up\n")
        stream.send("signal", signal="SIGINT")
        result = stream.end()
    assert (result["status"], result["signal"], result["exit_code"]) == ("error", "SIGINT", 130)
    assert result["stderr"].endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("args", [[], ["made to order"]])
@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ("python", "import time\nfor _ in range(100): time.sleep(0.05)\nprint('over')"),
        ("node", "setTimeout(() => console.log('over'), 5000)"),
        ("bash", "sleep 5; echo over"),
    ],
)
def test_an_interrupt_before_the_interpreter_is_up_ends_the_run(
    platform: Platform, environment: str, code: str, args: list[str], number: str
) -> None:
    for _ in range(5):
        with platform.stream(environment, code, args=args) as stream:
            stream.send("signal", signal=number)
            result = stream.end()
        # While it starts, the plain Python says what interrupted it, and ends with exit code 1. Where it looks whether
        # its first argument is a package, it goes on (10 of 2,102 runs outside of any sandbox).
        if environment == "python" and "KeyboardInterrupt" in result["stderr"]:
            continue
        found = (result["status"], result["signal"], result["stdout"], result["stderr"])
        assert found == ("error", number, "", ""), result


def test_a_signal_and_an_exit_code_above_128_are_told_apart(platform: Platform) -> None:
    ends = {}
    for code in ("exit 143", "kill -TERM $$"):
        with platform.stream("bash", code) as stream:
            streamed = stream.end()
        answer = platform.run("bash", code)
        ends[code] = [(it["exit_code"], it["signal"], it["error"]) for it in (streamed, answer)]
    assert ends == {
        "exit 143": 2 * [(143, None, "The code ended with exit code 143.")],
        "kill -TERM $$": 2 * [(143, "SIGTERM", "The code ended by SIGTERM.")],
    }


def test_sigterm_is_delivered(platform: Platform) -> None:
    with platform.stream("bash", "trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.1; done") as stream:
        stream.until_output("up\n")
        stream.send("signal", signal="SIGTERM")
        assert (stream.end()["exit_code"]) == 3


def test_cancelling(platform: Platform) -> None:
    with platform.stream("python", "print('up')\nwhile True: pass") as stream:
        stream.until_output("up\n")
        begun = time.monotonic()
        stream.send("cancel")
        result = stream.end()
    assert time.monotonic() - begun < 5
    assert (result["status"], result["stdout"]) == ("killed", "up\n")


def test_a_client_that_disconnects_ends_its_execution(platform: Platform) -> None:
    with platform.stream("python", "print('up')\nwhile True: pass") as stream:
        stream.until_output("up\n")
    platform.wait_until_idle()


def test_a_client_that_never_reads_does_not_keep_its_sandbox(platform: Platform) -> None:
    flood = "import os\nfor _ in range(10000): os.write(1, b'x')\nwhile True: pass"
    with platform.stream("python", flood, timeout=2):
        platform.wait_for_run()
        time.sleep(3)
        platform.wait_until_idle()


def test_frames_hold_whole_characters_and_the_output_limit_is_exact(platform: Platform) -> None:
    limit = FLOOR.output_kb * 1024
    code = f"import os\nfor byte in ('é' * {limit}).encode(): os.write(1, bytes([byte]))"
    with platform.stream("python", code) as stream:
        text = ""
        while (frame := stream.receive())["type"] != "result":
            text += frame.get("data", "")
    assert frame["status"] == "output_limit"
    assert text == frame["stdout"] == "é" * (limit // 2)


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (["{"], "invalid_json"),
        ([{"type": "stdin", "data": "x"}], "invalid_request"),
        ([{"type": "start", "environment": "python", "code": " "}], "empty_code"),
        ([{"type": "start", "environment": "cobol", "code": "1"}], "unknown_environment"),
        ([{"type": "start", "environment": "python", "code": "1", "image": "x"}], "invalid_request"),
        (
            [{"type": "start", "environment": "python", "code": "input()"}, {"type": "signal", "signal": "SIGKILL"}],
            "invalid_request",
        ),
        (
            [{"type": "start", "environment": "python", "code": "input()"}, {"type": "stdin", "data": "x" * 65537}],
            "input_too_long",
        ),
    ],
)
def test_invalid_frames_end_the_stream_with_a_problem(platform: Platform, frames: list[object], code: str) -> None:
    with platform.connect() as stream:
        for frame in frames:
            stream.connection.send(frame if isinstance(frame, str) else json.dumps(frame))
        last = stream.end()
    assert (last["type"], last["code"]) == ("problem", code)


def test_a_frame_of_20_mb_ends_the_connection(platform: Platform) -> None:
    with platform.connect() as stream, pytest.raises(ConnectionClosed):
        stream.connection.send("x" * 20_000_000)
        stream.receive()
