"""The results of code that keeps within the limits."""

import json

import pytest

from app.environments import ENVIRONMENTS
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform, output_json

VERSION = {
    "python": "import sys; print('.'.join(map(str, sys.version_info[:3])))",
    "javascript": "console.log(process.version.slice(1))",
    "bash": "echo ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}.${BASH_VERSINFO[2]}",
    "ruby": "puts RUBY_VERSION",
    "sql": ".mode list\n.headers off\nSELECT sqlite_version();",
}
FAIL = {
    "python": "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)",
    "javascript": "console.log('out'); console.error('err'); process.exit(3)",
    "bash": "echo out; echo err >&2; exit 3",
    "ruby": "puts 'out'; warn 'err'; exit 3",
    "sql": ".print out\n.shell echo err >&2\n.exit 3",
}
ECHO = {
    "python": "import sys; print(sys.argv[1:], sys.stdin.read())",
    "javascript": "console.log(process.argv.slice(2), require('fs').readFileSync(0, 'utf8'))",
    "bash": "printf '[%s] ' \"$@\"; cat",
    "ruby": "p ARGV; puts $stdin.read, ''",
    "sql": "SELECT ?1, ?2, ?3, ?4;\n.shell cat; echo",
}
"""Code by language."""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_version_of_an_environment_is_measured(platform: Platform, environment: str) -> None:
    code = VERSION[ENVIRONMENTS[environment].language]
    version = platform.version(environment)
    assert version == platform.run(environment, code)["stdout"].strip()
    release = ENVIRONMENTS[environment].release
    assert version.startswith(f"{release.version}.")
    assert platform.environment(environment)["end_of_life"] == release.end_of_life.isoformat()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_hello(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, ENVIRONMENTS[environment].hello)
    assert answer["output"] == answer["stdout"]
    assert "Hello, World!" in answer["stdout"]
    if ENVIRONMENTS[environment].language != "sql":
        assert answer["stdout"] == "Hello, World!\n"
    assert (answer["status"], answer["exit_code"], answer["error"]) == ("success", 0, None)
    assert (answer["stderr"], answer["truncated"], answer["environment"]) == ("", False, environment)
    assert 0 < answer["execution_time"] < 30


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_failing_code_is_a_result(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, FAIL[ENVIRONMENTS[environment].language])
    assert (answer["status"], answer["exit_code"]) == ("error", 3)
    assert answer["error"] == "The code ended with exit code 3."
    assert (answer["stdout"], answer["stderr"]) == ("out\n", "err\n")
    assert sorted(answer["output"].split()) == ["err", "out"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_stdin_and_arguments(platform: Platform, environment: str) -> None:
    code = ECHO[ENVIRONMENTS[environment].language]
    answer = platform.run(environment, code, stdin="häl\0lo\n", args=["a b", "--c", "$(d)", ""])
    assert answer["status"] == "success"
    assert answer["stdout"].endswith("häl\0lo\n" if environment == "bash" else "häl\0lo\n\n")
    for argument in ("a b", "--c", "$(d)"):
        assert argument in answer["stdout"]


def test_stdin_is_empty_by_default(platform: Platform) -> None:
    assert platform.run("python", "import sys; print(repr(sys.stdin.read()))")["stdout"] == "''\n"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_stdin_that_is_not_read_does_not_lose_output(platform: Platform, environment: str) -> None:
    assert "Hello, World!" in platform.run(environment, ENVIRONMENTS[environment].hello, stdin="x" * 65536)["stdout"]


def test_code_of_the_maximum_length_runs(platform: Platform) -> None:
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


def test_output_that_is_not_utf8(platform: Platform) -> None:
    answer = platform.run("python", r"import os; os.write(1, b'a\xffb\xe2\x82')")
    assert answer["stdout"] == "a\ufffdb\ufffd"


def test_a_crash_is_an_error_of_the_code(platform: Platform) -> None:
    answer = platform.run("python", "import ctypes; ctypes.string_at(0)")
    assert (answer["status"], answer["exit_code"], answer["signal"]) == ("error", 139, "SIGSEGV")


def test_exit_code_137_is_not_reported_as_memory_limit(platform: Platform) -> None:
    assert platform.run("bash", "exit 137")["status"] == "error"


def test_an_execution_finds_no_files_of_an_earlier_one(platform: Platform) -> None:
    write = "open('/tmp/mark', 'w').write('x'); print('\"written\"')"
    look = "import json, os; print(json.dumps(os.listdir('/tmp')))"
    assert output_json(platform.run("python", write)) == "written"
    assert output_json(platform.run("python", look)) == ["main.py"]


def test_the_sandbox_shows_nothing_of_the_platform(platform: Platform) -> None:
    code = """
import json, os
print(json.dumps({
    "environ": sorted(os.environ),
    "processes": len([name for name in os.listdir("/proc") if name.isdigit()]),
    "sockets": [path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)],
}))
"""
    assert output_json(platform.run("python", code)) == {
        "environ": ["HOME", "LANG", "PATH"],
        "processes": 2,
        "sockets": [],
    }


def test_a_script_that_is_executed_as_a_program_is_explained(platform: Platform) -> None:
    script = {"name": "a.sh", "content": "echo inside"}
    answer = platform.run("bash", files=[{"name": "main.sh", "content": "chmod +x a.sh\n./a.sh"}, script])
    assert (answer["status"], answer["exit_code"]) == ("error", 126)
    assert answer["stderr"].endswith("./a.sh: Permission denied\n")
    assert "run a script by its interpreter, as in `bash a.sh`" in answer["error"]
    assert platform.run("bash", files=[{"name": "main.sh", "content": "bash a.sh"}, script])["stdout"] == "inside\n"


def test_an_executor_without_apparmor_says_once_what_is_lost(platform: Platform, host: Host) -> None:
    said = [json.loads(line) for line in platform.executor.log().splitlines() if "AppArmor" in line]
    assert [line["level"] for line in said] == ([] if host.apparmor else ["warning"])
    lost = ("the kernel's settings and raw memory", "mounts, capabilities and programs")
    assert all(words in line["message"] for line in said for words in lost)
