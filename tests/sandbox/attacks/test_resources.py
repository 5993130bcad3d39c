"""Attacks on the host's resources: processes, memory, CPU, output, disk and time."""

import time

import pytest

from app.environments import ENVIRONMENTS
from app.profile import FLOOR
from tests.sandbox.attacks.carrier import carried
from tests.sandbox.processes import Platform, output_json
from tests.waiting import SLOWNESS

OUTPUT = FLOOR.output_kb * 1024
GRACE_SECONDS = 5 * SLOWNESS
"""Seconds beyond the timeout to kill 50 processes that share half a core of a busy machine."""

FORK_BOMBS = {
    "python": "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass",
    "node": """
const { spawn } = require("child_process");
for (;;) { try { spawn(process.execPath, [process.argv[1]]).on("error", () => {}); } catch {} }
""",
    "bash": "bomb() { bomb | bomb & }; bomb; while :; do :; done",
}


@pytest.mark.parametrize("environment", FORK_BOMBS)
def test_fork_bomb(platform: Platform, environment: str) -> None:
    started = time.monotonic()
    answer = platform.run(environment, FORK_BOMBS[environment], timeout=2)
    assert time.monotonic() - started < 2 + GRACE_SECONDS
    assert answer["status"] != "success"


MEMORY_BOMBS = {
    "python": "held = []\nwhile True: held.append(bytes([1]) * 2**20)",
    "node": "const held = []; for (;;) held.push(Buffer.alloc(2 ** 20, 1));",
    "bash": "held=x; while :; do held=$held$held; done",
}


GVISOR_OUT_OF_MEMORY = {"memory_limit", "killed", "timeout"}
"""The sandbox ends together with its gVisor kernel, or the code's time runs out: near the limit, Node collects garbage
for each allocation, which takes gVisor longer than the code has."""


@pytest.mark.parametrize("environment", MEMORY_BOMBS)
def test_memory_bomb(platform: Platform, environment: str, runtime: str) -> None:
    ends = GVISOR_OUT_OF_MEMORY if runtime == "runsc" else {"memory_limit"}
    assert platform.run(environment, MEMORY_BOMBS[environment])["status"] in ends


MEMORY_BOMB_IN_A_CHILD = {
    "python": """
import os, signal
if (child := os.fork()) == 0:
    held = []
    while True: held.append(bytes([1]) * 2**20)
print("child:", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
""",
    "node": """
const bomb = "const held = []; for (;;) held.push(Buffer.alloc(2 ** 20, 1));";
const ended = require("child_process").spawnSync(process.execPath, ["-e", bomb]);
console.log("child:", ended.signal === "SIGKILL" ? -9 : ended.status);
""",
    "bash": "(held=x; while :; do held=$held$held; done); echo child: $((128 - $?))",
}


@pytest.mark.parametrize("environment", MEMORY_BOMB_IN_A_CHILD)
def test_memory_bomb_in_a_child(platform: Platform, environment: str, runtime: str) -> None:
    """Only the child is killed. Under gVisor it is refused memory and fails, or the kernel of all is killed."""
    answer = platform.run(environment, MEMORY_BOMB_IN_A_CHILD[environment])
    if runtime == "runsc":
        assert answer["status"] in GVISOR_OUT_OF_MEMORY or answer["stdout"] in {"child: 1\n", "child: 127\n"}
    else:
        assert answer["stdout"] == "child: -9\n"


HUGE_FILES_AND_MEMORY = """
import os
for path in ("/tmp/held", "/dev/shm/held"):
    try:
        with open(path, "wb", 0) as held:
            while True: held.write(bytes(2**20))
    except OSError:
        pass
    print(os.stat(path).st_size >> 20, flush=True)
parts = []
while True:
    parts.append(bytes([1]) * 2**20)
    print(len(parts), flush=True)
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_files_in_tmp_and_shared_memory_count_as_memory(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, carried(environment, HUGE_FILES_AND_MEMORY))
    in_tmp, in_shm, *held = map(int, answer["stdout"].split())
    assert FLOOR.tmp_mb - 2 < in_tmp <= FLOOR.tmp_mb
    assert 14 < in_shm <= 16
    assert in_tmp + in_shm + held[-1] <= FLOOR.memory_mb
    assert answer["status"] != "success" or environment == "sqlite"  # whose exit code is its own


IGNORES_SIGNALS = {
    "python": """
import signal
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
while True: pass
""",
    "node": """
for (const name of Object.keys(require("os").constants.signals))
  if (!["SIGKILL", "SIGSTOP"].includes(name)) try { process.on(name, () => {}); } catch {}
for (;;);
""",
    "bash": "trap '' {1..64} 2>/dev/null; for number in {1..31}; do trap '' $number; done; while :; do :; done",
}


@pytest.mark.parametrize("environment", IGNORES_SIGNALS)
def test_a_busy_loop_that_ignores_all_signals(platform: Platform, environment: str) -> None:
    started = time.monotonic()
    answer = platform.run(environment, IGNORES_SIGNALS[environment], timeout=1.5)
    assert time.monotonic() - started < 1.5 + GRACE_SECONDS
    assert answer["status"] == "timeout"


FLOODS = {
    "python": "import os\nblock = b'x' * 2**16\nfor _ in range(2**14): os.write(1, block)",
    "node": "const block = 'x'.repeat(2 ** 16); for (let n = 0; n < 2 ** 14; n++) require('fs').writeSync(1, block);",
    "bash": "head -c 1G /dev/zero | tr '\\0' x",
}


@pytest.mark.parametrize("environment", FLOODS)
def test_a_gigabyte_of_output(platform: Platform, environment: str) -> None:
    started = time.monotonic()
    answer = platform.run(environment, FLOODS[environment])
    assert time.monotonic() - started < GRACE_SECONDS
    assert (answer["status"], answer["truncated"]) == ("output_limit", True)
    assert answer["output"] == answer["stdout"] == "x" * OUTPUT


TINY_PIECES = {
    "python": f"import os\nfor n in range({OUTPUT} + 1): os.write(1 + n % 2, b'x')",
    "node": f"const fs = require('fs'); for (let n = 0; n <= {OUTPUT}; n++) fs.writeSync(1 + n % 2, 'x');",
    "bash": f"for ((n = 0; n <= {OUTPUT} / 2; n++)); do printf x; printf x >&2; done",
}


@pytest.mark.parametrize("environment", TINY_PIECES)
def test_output_in_tiny_pieces(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, TINY_PIECES[environment])
    assert (answer["status"], answer["output"]) == ("output_limit", "x" * OUTPUT)
    assert len(answer["stdout"]) + len(answer["stderr"]) == OUTPUT


def test_a_trickle_of_output_does_not_extend_the_time(platform: Platform) -> None:
    code = "import os, time\nwhile True:\n    os.write(1, b'x')\n    time.sleep(0.05)"
    answer = platform.run("python", code, timeout=1.5)
    assert answer["status"] == "timeout"
    # Timers can fire up to 1 ms early.
    assert 1.49 <= answer["execution_time"] < 1.5 + GRACE_SECONDS


FILL = """
import json, os
def filled(folder):
    "The number of bytes that fit into a folder, or the error of the first write."
    size = 0
    try:
        with open(f"{folder}/filling", "wb", 0) as file:
            while True: size += file.write(bytes(65536))
    except OSError as error:
        return size if size else os.strerror(error.errno)
FOLDERS = ("/tmp", "/dev/shm", "/dev/mqueue", "/dev", "/run", "/var/tmp")
print(json.dumps({folder: filled(folder) for folder in FOLDERS}))
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_filling_every_file_system(platform: Platform, environment: str) -> None:
    filled = output_json(platform.run(environment, carried(environment, FILL)))
    assert (FLOOR.tmp_mb - 1) * 2**20 < filled.pop("/tmp") <= FLOOR.tmp_mb * 2**20
    assert 15 * 2**20 < filled.pop("/dev/shm") <= 16 * 2**20
    assert [folder for folder, size in filled.items() if not isinstance(size, str)] == []


INODES = """
import os
made = 0
try:
    while True:
        os.close(os.open(f"/tmp/{made}", os.O_CREAT | os.O_WRONLY))
        made += 1
        if made % 1000 == 0: print(made, flush=True)
except OSError as error:
    print("full", flush=True)
"""
INODE_BYTES = 500
"""Less memory than the kernel needs for an empty file on a tmpfs, in bytes."""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_filling_the_inodes(platform: Platform, environment: str) -> None:
    """The file system, the memory limit or the timeout bounds the number of files."""
    answer = platform.run(environment, carried(environment, INODES), timeout=10)
    made = [int(word) for word in answer["stdout"].split() if word != "full"]
    assert made[-1] < FLOOR.memory_mb * 2**20 / INODE_BYTES
    ended = {"memory_limit", "timeout", "error"} | ({"success"} if environment == "sqlite" else set())  # its own
    assert answer["output"].endswith("full\n") or answer["status"] in ended


WRITE_EVERYWHERE = """
import json, os
written = []
for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in {"/proc", "/sys", "/tmp", "/dev/shm"}]
    for attempt in (
        lambda: os.close(os.open(os.path.join(folder, "mark"), os.O_CREAT | os.O_WRONLY)),
        lambda: os.mkdir(os.path.join(folder, "mark")),
        lambda: os.symlink("/", os.path.join(folder, "mark")),
        lambda: os.link("/tmp/own", os.path.join(folder, "mark")),
        lambda: os.chmod(folder, 0o777),
    ):
        try:
            attempt()
            written.append(folder)
        except OSError:
            pass
print(json.dumps(sorted(set(written))))
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_outside_of_tmp_and_shared_memory_can_be_written(platform: Platform, environment: str) -> None:
    assert output_json(platform.run(environment, carried(environment, WRITE_EVERYWHERE))) == []


DETACHED = """
import os, signal, time
for number in range(5):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for name in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(name, signal.SIG_IGN)
            if number % 2: os.closerange(0, 64)
            time.sleep(600)
        os._exit(0)
print("parent ends", flush=True)
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_detached_children_end_with_the_code(platform: Platform, environment: str) -> None:
    started = time.monotonic()
    answer = platform.run(environment, carried(environment, DETACHED), timeout=20)
    assert time.monotonic() - started < GRACE_SECONDS
    assert (answer["status"], answer["stdout"]) == ("success", "parent ends\n")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_sleeping_past_the_deadline_with_detached_children(platform: Platform, environment: str) -> None:
    started = time.monotonic()
    answer = platform.run(environment, carried(environment, DETACHED + "time.sleep(600)"), timeout=8)
    assert time.monotonic() - started < 8 + GRACE_SECONDS
    assert (answer["status"], answer["stdout"]) == ("timeout", "parent ends\n")
