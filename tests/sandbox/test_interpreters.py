"""What environments have and measure. What their programs see: test_plain_interpreters."""

import json

import pytest

from tests.sandbox.processes import ROOT, Platform, output_json

BASH_TOOLS = {
    "bc": ("echo '2^64' | bc", "18446744073709551616\n"),
    "bzip2": ("echo packed | bzip2 | bzip2 -d", "packed\n"),
    "column": ("printf 'a 1\\nbbb 2\\n' | column -t", "a    1\nbbb  2\n"),
    "file": ("echo text >a; file -b a", "ASCII text\n"),
    "jq": ("""echo '{"a": [1, 2]}' | jq -c '.a | map(. + 1)'""", "[2,3]\n"),
    "less": ("echo paged | less", "paged\n"),
    "ps": ("ps -o comm= -p $$", "bash\n"),
    "unzip": ("echo packed >a && zip -q a.zip a && unzip -p a.zip a", "packed\n"),
    "xxd": ("printf 'AB' | xxd -p", "4142\n"),
    "xz": ("echo packed | xz | xz -d", "packed\n"),
    "zip": ("echo packed | zip -q - - | head -c 2", "PK"),
}
"""By tool of images/sandbox-bash/tools.txt: code that uses it, and what that prints."""


@pytest.mark.parametrize("tool", BASH_TOOLS)
def test_a_tool_of_bash_runs(platform: Platform, tool: str) -> None:
    code, output = BASH_TOOLS[tool]
    answer = platform.run("bash", code)
    assert (answer["stdout"], answer["stderr"], answer["exit_code"]) == (output, "", 0)


def test_bash_lists_its_tools_with_their_versions(platform: Platform) -> None:
    listed = {package["name"]: package["version"] for package in platform.environment("bash")["packages"]}
    lines = (ROOT / "images" / "sandbox-bash" / "tools.txt").read_text().splitlines()
    assert sorted(listed) == sorted(BASH_TOOLS) == sorted(line.split()[0] for line in lines)
    assert listed["bc"] == platform.run("bash", "bc --version | awk 'NR == 1 {print $2}'")["stdout"].strip()
    assert listed["xz"] == platform.run("bash", "xz --version | awk 'NR == 1 {print $NF}'")["stdout"].strip()


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ("ruby", "6.times { |n| (n.even? ? $stdout : $stderr).puts n; sleep 0.05 }"),
        ("sqlite", "".join(f".print {n}\n.shell sleep .05; echo {n + 1} >&2; sleep .05\n" for n in (0, 2, 4))),
    ],
    ids=["ruby", "sqlite"],
)
def test_ruby_and_sql_keep_the_order_of_output(platform: Platform, environment: str, code: str) -> None:
    assert platform.run(environment, code)["output"].split() == list("012345")


def test_sql_prints_tables(platform: Platform) -> None:
    code = """
CREATE TABLE city (name TEXT, rain INTEGER);
INSERT INTO city VALUES ('Bergen', 2586), ('Oslo', NULL);
SELECT * FROM city;
"""
    answer = platform.run("sqlite", code)
    assert (answer["exit_code"], answer["stderr"]) == (0, "")
    assert answer["stdout"] == (
        "┌────────┬──────┐\n"
        "│  name  │ rain │\n"
        "├────────┼──────┤\n"
        "│ Bergen │ 2586 │\n"
        "│ Oslo   │ NULL │\n"
        "└────────┴──────┘\n"
    )


def test_sql_ends_at_its_first_error(platform: Platform) -> None:
    answer = platform.run("sqlite", "SELECT 1;\nSELECT * FROM nosuch;\nSELECT 2;")
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert answer["stderr"] == "Parse error near line 2: no such table: nosuch\n"
    assert "2" not in answer["stdout"]


def test_arguments_are_parameters_of_sql_and_input_can_be_imported(platform: Platform) -> None:
    code = """
.import --csv /dev/stdin people
.mode list
.headers off
SELECT name FROM people WHERE age = ?1;
SELECT ?2;
"""
    odd = 'it\'s "x" \\n, a\nb'
    main = 'it\'s a "name".sql'
    answer = platform.run(
        "sqlite",
        files=[{"name": main, "content": code}],
        args=["36", odd],
        stdin="name,age\nAda,36\nGrace,85\n",
    )
    assert (answer["stdout"], answer["stderr"]) == (f"Ada\n{odd}\n", "")


def test_cpu_time_and_memory_are_measured(platform: Platform) -> None:
    answer = platform.run("python", "held = bytes([1]) * 80_000_000\nfor _ in range(3_000_000): pass")
    assert 0.02 < answer["cpu_time"] < 5
    assert 80_000_000 < answer["memory_peak"] < 256 * 2**20


def test_running_out_of_processes_has_the_status_process_limit(platform: Platform) -> None:
    code = "import subprocess\nwhile True: subprocess.Popen(['sleep', '60'])"
    answer = platform.run("python", code)
    assert (answer["status"], answer["exit_code"]) == ("process_limit", 1)


def test_code_cannot_reach_pid_1(platform: Platform) -> None:
    code = """
import json, os, signal
def attempt(call):
    try:
        call()
        return "done"
    except OSError as error:
        return type(error).__name__
passed_on_to_this_code = {signal.SIGINT, signal.SIGTERM}
for number in set(range(1, signal.NSIG)) - passed_on_to_this_code:
    os.kill(1, number)
print(json.dumps([attempt(call) for call in (
    lambda: os.listdir("/proc/1/fd"),
    lambda: open("/proc/1/mem", "rb"),
    lambda: open("/proc/1/environ", "rb"),
    lambda: open("/proc/1/fd/1", "wb"),
    lambda: os.readlink("/proc/1/cwd"),
)]))
print(sorted(os.listdir("/proc/self/fd"))[:-1])
"""
    answer = platform.run("python", code)
    refused, descriptors = answer["stdout"].splitlines()
    assert json.loads(refused) == ["PermissionError"] * 5
    assert descriptors == "['0', '1', '2']"


def test_environments_list_their_packages(platform: Platform) -> None:
    code = """
import json, numpy, pandas, matplotlib
print(json.dumps([module.__version__.partition("+")[0] for module in (numpy, pandas, matplotlib)]))
"""
    versions = output_json(platform.run("python-data", code))
    assert platform.environment("python-data")["packages"] == [
        {"name": name, "version": version}
        for name, version in zip(("numpy", "pandas", "matplotlib"), versions, strict=True)
    ]
    assert platform.environment("python")["packages"] == []
    assert platform.environment("node")["main"] == "main.js"
