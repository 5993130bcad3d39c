"""What a visitor gets for code that keeps to the limits."""

import pytest

from tests.sandbox.processes import Platform, output_json

HELLO = {
    "python": "print('Hello, World!')",
    "node": "console.log('Hello, World!')",
    "bash": "echo 'Hello, World!'",
}
FAIL = {
    "python": "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)",
    "node": "console.log('out'); console.error('err'); process.exit(3)",
    "bash": "echo out; echo err >&2; exit 3",
}
ECHO = {
    "python": "import sys; print(sys.argv[1:], sys.stdin.read())",
    "node": "console.log(process.argv.slice(2), require('fs').readFileSync(0, 'utf8'))",
    "bash": "printf '[%s] ' \"$@\"; cat",
}


def test_environments_have_measured_versions(platform: Platform) -> None:
    for environment, code in {
        "python": "import sys; print('.'.join(map(str, sys.version_info[:3])))",
        "node": "console.log(process.version.slice(1))",
        "bash": "echo ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}.${BASH_VERSINFO[2]}",
    }.items():
        assert platform.version(environment) == platform.run(environment, code)["stdout"].strip()


@pytest.mark.parametrize("environment", HELLO)
def test_hello(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, HELLO[environment])
    assert answer["output"] == answer["stdout"] == "Hello, World!\n"
    assert (answer["status"], answer["exit_code"], answer["error"]) == ("success", 0, None)
    assert (answer["stderr"], answer["truncated"], answer["environment"]) == ("", False, environment)
    assert 0 < answer["execution_time"] < 30


@pytest.mark.parametrize("environment", FAIL)
def test_failing_code_is_an_answer(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, FAIL[environment])
    assert (answer["status"], answer["exit_code"]) == ("error", 3)
    assert answer["error"] == "The code ended with exit code 3."
    assert (answer["stdout"], answer["stderr"]) == ("out\n", "err\n")
    assert sorted(answer["output"].split()) == ["err", "out"]


@pytest.mark.parametrize("environment", ECHO)
def test_stdin_and_arguments(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, ECHO[environment], stdin="häl\0lo\n", args=["a b", "--c", "$(d)", ""])
    assert answer["status"] == "success"
    assert answer["stdout"].endswith("häl\0lo\n" if environment == "bash" else "häl\0lo\n\n")
    for argument in ("a b", "--c", "$(d)"):
        assert argument in answer["stdout"]


def test_without_stdin_the_input_is_at_its_end(platform: Platform) -> None:
    assert platform.run("python", "import sys; print(repr(sys.stdin.read()))")["stdout"] == "''\n"


@pytest.mark.parametrize("environment", HELLO)
def test_unread_stdin_loses_no_output(platform: Platform, environment: str) -> None:
    assert platform.run(environment, HELLO[environment], stdin="x" * 65536)["stdout"] == "Hello, World!\n"


def test_the_longest_code_runs(platform: Platform) -> None:
    last = "\nprint('end')"
    comment = "#" + "é" * ((65536 - 1 - len(last)) // 2)
    code = comment + " " * (65536 - len((comment + last).encode())) + last
    assert len(code.encode()) == 65536
    assert platform.run("python", code)["stdout"] == "end\n"


def test_output_keeps_the_order_in_which_it_was_written(platform: Platform) -> None:
    code = """
import sys, time
for number in range(6):
    print(number, file=(sys.stdout, sys.stderr)[number % 2])
    time.sleep(0.05)
"""
    assert platform.run("python", code)["output"].split() == list("012345")


def test_output_that_is_not_text(platform: Platform) -> None:
    answer = platform.run("python", r"import os; os.write(1, b'a\xffb\xe2\x82')")
    assert answer["stdout"] == "a\ufffdb\ufffd"


def test_a_crash_is_the_codes_own(platform: Platform) -> None:
    answer = platform.run("python", "import ctypes; ctypes.string_at(0)")
    assert (answer["status"], answer["exit_code"], answer["signal"]) == ("error", 139, "SIGSEGV")


def test_an_exit_code_like_a_kill_is_no_memory_limit(platform: Platform) -> None:
    assert platform.run("bash", "exit 137")["status"] == "error"


def test_a_run_finds_nothing_of_an_earlier_one(platform: Platform) -> None:
    write = "open('/tmp/mark', 'w').write('x'); print('\"written\"')"
    look = "import json, os; print(json.dumps(os.listdir('/tmp')))"
    assert output_json(platform.run("python", write)) == "written"
    assert output_json(platform.run("python", look)) == ["main.py"]


def test_nothing_of_the_platform_is_inside(platform: Platform) -> None:
    code = """
import json, os
print(json.dumps({
    "environ": sorted(os.environ),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "sockets": [path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)],
}))
"""
    assert output_json(platform.run("python", code)) == {
        "environ": ["HOME", "HOSTNAME", "LANG", "PATH"],
        "processes": 2,
        "sockets": [],
    }
