"""Code runs as with `python3 main.py`, `node main.js` and so on; see test_plain_interpreters too."""

import base64
import json

import pytest

from tests.sandbox.processes import ROOT, Platform, output_json


def files(**contents: str) -> list[dict[str, str]]:
    return [{"name": name.replace("__", "/").replace("_", "."), "content": text} for name, text in contents.items()]


def test_main_module_of_python(platform: Platform) -> None:
    code = """
import json, sys
print(json.dumps([__name__, __file__, sys.argv, sys.path[0], sys.modules["__main__"].__file__, __spec__]))
"""
    assert output_json(platform.run("python", code, args=["a", "b"])) == [
        "__main__",
        "/tmp/main.py",
        ["/tmp/main.py", "a", "b"],
        "/tmp",
        "/tmp/main.py",
        None,
    ]


def test_python_has_the_builtins_of_site(platform: Platform) -> None:
    assert platform.run("python", "print('x'); exit(4)")["exit_code"] == 4


def test_a_traceback_of_python_shows_only_the_code(platform: Platform) -> None:
    code = "def divide():\n    return 1 / 0\n\ndivide()\n"
    answer = platform.run("python", code)
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert answer["stderr"] == (
        "Traceback (most recent call last):\n"
        '  File "/tmp/main.py", line 4, in <module>\n'
        "    divide()\n"
        "    ~~~~~~^^\n"
        '  File "/tmp/main.py", line 2, in divide\n'
        "    return 1 / 0\n"
        "           ~~^~~\n"
        "ZeroDivisionError: division by zero\n"
    )


def test_a_syntax_error_of_python_shows_only_the_code(platform: Platform) -> None:
    stderr = platform.run("python", "print('a'\n")["stderr"]
    assert stderr.startswith('  File "/tmp/main.py", line 1\n')
    assert stderr.endswith("SyntaxError: '(' was never closed\n")


def test_excepthook_sees_only_frames_of_the_code(platform: Platform) -> None:
    code = """
import sys, traceback
sys.excepthook = lambda kind, error, trace: print([frame.filename for frame in traceback.extract_tb(trace)])
1 / 0
"""
    assert platform.run("python", code)["stdout"] == "['/tmp/main.py']\n"


@pytest.mark.parametrize(
    ("ending", "exit_code", "stderr"),
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(7)", 7, ""),
        ("sys.exit(-1)", 255, ""),
        ("sys.exit('why')", 1, "why\n"),
        ("raise SystemExit(3)", 3, ""),
        ("os._exit(9)", 9, ""),
        ("os.kill(os.getpid(), 15)", 143, ""),
    ],
)
def test_exit_codes_of_python(platform: Platform, ending: str, exit_code: int, stderr: str) -> None:
    answer = platform.run("python", f"import os, sys\n{ending}")
    assert (answer["exit_code"], answer["stderr"]) == (exit_code, stderr)
    assert answer["signal"] == ("SIGTERM" if exit_code == 143 else None)


def test_python_finalizes_threads_atexit_and_objects(platform: Platform) -> None:
    code = """
import atexit, threading, time
class Thing:
    def __init__(self, name): self.name = name
    def __del__(self): print("del", self.name)
kept = Thing("global")
cycle = [Thing("cycle")]
cycle.append(cycle)
atexit.register(lambda: print("atexit"))
threading.Thread(target=lambda: (time.sleep(0.2), print("thread"))).start()
print("main")
"""
    assert platform.run("python", code)["stdout"] == "main\nthread\natexit\ndel global\ndel cycle\n"


def test_input_in_python(platform: Platform) -> None:
    code = "print(input('name? '))\ntry: input()\nexcept EOFError: print('end')"
    assert platform.run("python", code, stdin="you\n")["stdout"] == "name? you\nend\n"


def test_processes_and_threads_of_python(platform: Platform) -> None:
    code = """
import asyncio, json, multiprocessing, os, subprocess, sys, threading

def square(number, answer):
    answer.send(number * number)

async def later():
    await asyncio.sleep(0)
    return "asyncio"

if __name__ == "__main__":
    found = [asyncio.run(later())]
    for method in ("fork", "spawn"):
        context = multiprocessing.get_context(method)
        here, there = context.Pipe()
        process = context.Process(target=square, args=(3, there))
        process.start()
        found.append(here.recv())
        process.join()
    found.append(subprocess.run([sys.executable, "-c", "print(1)"], capture_output=True, text=True).stdout)
    child = os.fork()
    if child == 0:
        os._exit(5)
    found.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    thread = threading.Thread(target=lambda: found.append("thread"))
    thread.start()
    thread.join()
    print(json.dumps(found))
"""
    assert output_json(platform.run("python", code)) == ["asyncio", 9, 9, "1\n", 5, "thread"]


def test_python_imports_files_beside_the_main_one(platform: Platform) -> None:
    given = files(main_py="import json\nfrom pkg.part import word\nprint(json, word)", pkg__part_py="word = 'whole'")
    answer = platform.run("python", files=[*given, {"name": "pkg/__init__.py", "content": ""}])
    assert answer["stdout"].endswith("whole\n")


def test_a_file_beside_the_main_one_shadows_the_standard_library(platform: Platform) -> None:
    given = files(
        main_py="import json, traceback\nprint(json.mine, traceback.mine)", json_py="mine = 1", traceback_py="mine = 2"
    )
    assert platform.run("python", files=given)["stdout"] == "1 2\n"


def test_binary_files_and_a_main_file_in_a_folder(platform: Platform) -> None:
    given = [
        {"name": "data.bin", "content": "AP8=", "encoding": "base64"},
        {"name": "src/run.py", "content": "import sys; print(open('data.bin', 'rb').read(), sys.path[0])"},
    ]
    assert platform.run("python", files=given, main="src/run.py")["stdout"] == "b'\\x00\\xff' /tmp/src\n"


def test_main_module_of_node(platform: Platform) -> None:
    code = "console.log(JSON.stringify([process.argv, require.main === module, __filename, process.execArgv.length]))"
    assert output_json(platform.run("node", code, args=["a"])) == [
        ["/usr/bin/node", "/tmp/main.js", "a"],
        True,
        "/tmp/main.js",
        1,
    ]


def test_node_requires_and_imports_files_beside_the_main_one(platform: Platform) -> None:
    given = files(main_js="console.log(require('./lib/a').word)", lib__a_js="exports.word = 'whole'")
    assert platform.run("node", files=given)["stdout"] == "whole\n"
    given = files(
        main_mjs="import { word } from './a.mjs'; console.log(word, await Promise.resolve(1), import.meta.url)",
        a_mjs="export const word = 'whole'",
    )
    assert platform.run("node", files=given)["stdout"] == "whole 1 file:///tmp/main.mjs\n"


def test_an_error_of_node_shows_only_the_code(platform: Platform) -> None:
    answer = platform.run("node", "function fail() { throw new Error('why') }\nfail()")
    assert answer["exit_code"] == 1
    assert "at fail (/tmp/main.js:1:25)" in answer["stderr"]


def test_node_reads_stdin_whole_and_by_line(platform: Platform) -> None:
    whole = "console.log(require('fs').readFileSync(0, 'utf8').length)"
    assert platform.run("node", whole, stdin="x" * 60000)["stdout"] == "60000\n"
    lines = (
        "require('readline').createInterface({ input: process.stdin }).on('line', (line) => console.log(line + '!'))"
    )
    assert platform.run("node", lines, stdin="a\nb\n")["stdout"] == "a!\nb!\n"


def test_workers_and_children_of_node(platform: Platform) -> None:
    code = """
const { Worker, isMainThread, parentPort } = require('worker_threads');
if (process.argv[2] === 'child') {
  process.send('child');
} else if (isMainThread) {
  new Worker(__filename).on('message', (word) => {
    require('child_process').fork(__filename, ['child']).on('message', (other) => console.log(word, other));
  });
} else {
  parentPort.postMessage('worker');
}
"""
    assert platform.run("node", code)["stdout"] == "worker child\n"


def test_bash_as_a_script(platform: Platform) -> None:
    main = 'echo "$0" "$#" "$@"; read -r line; echo "$line"; source ./lib.sh; echo "$word" >/dev/stderr; yes | head -1'
    answer = platform.run("bash", files=files(main_sh=main, lib_sh="word=whole"), args=["a b", "c"], stdin="typed\n")
    assert (answer["stdout"], answer["stderr"]) == ("/tmp/main.sh 2 a b c\ntyped\ny\n", "whole\n")
    assert answer["exit_code"] == 0


def test_an_error_of_bash_shows_only_the_code(platform: Platform) -> None:
    answer = platform.run("bash", "nonesuch")
    assert (answer["exit_code"], answer["stderr"]) == (127, "/tmp/main.sh: line 1: nonesuch: command not found\n")


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


def test_ruby_as_a_script(platform: Platform) -> None:
    main = """
require_relative "lib"
p __FILE__, $PROGRAM_NAME, ARGV, $stdin.gets, WORD
puts JSON.generate(key: [1, nil])
"""
    sources = files(main_rb=main, lib_rb="require 'json'\nWORD = 'whole'")
    answer = platform.run("ruby", files=sources, args=["a b", "c"], stdin="typed\n")
    assert answer["stderr"] == ""
    assert answer["stdout"].splitlines() == [
        '"/tmp/main.rb"',
        '"/tmp/main.rb"',
        '["a b", "c"]',
        '"typed\\n"',
        '"whole"',
        '{"key":[1,null]}',
    ]


def test_an_error_of_ruby_names_the_codes_file(platform: Platform) -> None:
    answer = platform.run("ruby", "def divide = 1 / 0\ndivide")
    assert (answer["status"], answer["exit_code"]) == ("error", 1)
    assert answer["stderr"].startswith("/tmp/main.rb:1:in `/': divided by 0 (ZeroDivisionError)\n")


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
for number in range(1, signal.NSIG):
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


PLOT = """
import json, sys
loaded = "pandas" in sys.modules
import numpy, pandas
import matplotlib.pyplot as plt
table = pandas.DataFrame({"x": numpy.arange(5)})
plt.plot(table.x, table.x ** 2)
plt.savefig("/tmp/results/plot.png")
print(json.dumps([loaded, int(table.x.sum()), plt.get_backend()]))
"""


def test_data_packages_are_installed_and_preloaded(platform: Platform) -> None:
    answer = platform.run("python-data", PLOT, results=["plot.png"])
    assert output_json(answer) == [True, 10, "Agg"]
    (plot,) = answer["files"]
    assert base64.b64decode(plot["content"]).startswith(b"\x89PNG")
    assert answer["stderr"] == ""


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
