"""An attack from inside on every limit of the profile."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.environments import ENVIRONMENTS
from app.profile import FLOOR, SandboxProfile
from app.runtimes import RUNTIMES
from tests.sandbox.attacks.carrier import shelled
from tests.sandbox.processes import RUNTIME, Platform, output_json
from tests.waiting import SLOWNESS

OUTPUT = FLOOR.output_kb * 1024
GRACE_SECONDS = 5 * SLOWNESS
"""Seconds beyond the timeout that a busy machine may need to make and remove a sandbox."""

ATTACKED = {
    "network": "test_no_way_out",
    "read_only_root": "test_only_tmp_and_shared_memory_can_be_written",
    "tmp_mb": "test_tmp_is_full_at_its_size",
    "cap_drop": "test_no_privilege_is_held",
    "no_new_privileges": "test_no_privilege_is_held",
    "user": "test_each_sandbox_has_a_user_of_its_own",
    "pids": "test_processes_are_counted",
    "cpus": "test_half_a_core",
    "memory_mb": "test_memory_bomb",
    "swap_mb": "test_no_swap_beyond_the_memory",
    "timeout_seconds": "test_busy_loop",
    "output_kb": "test_flood_of_output",
    "code_kb": "test_code_over_the_limit",
    "result_files": "test_more_files_than_allowed",
    "result_kb": "test_files_larger_than_allowed",
}


def test_every_limit_is_attacked_here() -> None:
    assert set(ATTACKED) == set(SandboxProfile.model_fields)
    assert set(ATTACKED.values()) <= set(globals())


REACH_OUT = {
    "python": """
import json, os, socket
failures = []
for address in ("1.1.1.1", "172.17.0.1", "169.254.169.254"):
    try:
        socket.create_connection((address, 80), 2)
    except OSError as error:
        failures.append(error.errno)
try:
    socket.getaddrinfo("example.org", 80)
except socket.gaierror:
    failures.append("dns")
print(json.dumps([failures, os.listdir("/sys/class/net")]))
""",
    "node": """
const net = require("net"), dns = require("dns"), fs = require("fs");
const attempt = (host) => new Promise((done) =>
  net.connect(80, host).on("error", (error) => done(-error.errno)).on("connect", () => done("connected")));
const lookup = new Promise((done) => dns.lookup("example.org", (error) => done(error ? "dns" : "resolved")));
Promise.all([...["1.1.1.1", "172.17.0.1", "169.254.169.254"].map(attempt), lookup]).then((failures) =>
  console.log(JSON.stringify([failures, fs.readdirSync("/sys/class/net")])));
""",
    "bash": """
failures=()
for address in 1.1.1.1 172.17.0.1 169.254.169.254; do
  said=$(exec 2>&1; : >/dev/tcp/$address/80) && failures+=(0)
  [[ $said == *"Network is unreachable"* ]] && failures+=(101)
done
getent hosts example.org >&2 || failures+=('"dns"')
names=$(cd /sys/class/net && printf '"%s",' *)
echo "[[$(IFS=,; echo "${failures[*]}")], [${names%,}]]"
""",
}


@pytest.mark.parametrize("environment", REACH_OUT)
def test_no_way_out(platform: Platform, environment: str) -> None:
    unreachable = 101
    failures, interfaces = output_json(platform.run(environment, REACH_OUT[environment]))
    assert failures == [unreachable, unreachable, unreachable, "dns"]
    assert interfaces == ["lo"]


WRITE_EVERYWHERE = """
import json, os
written = []
for folder, folders, names in os.walk("/"):
    if folder == "/":
        folders.remove("proc")
    try:
        with open(os.path.join(folder, "mark"), "w") as mark:
            mark.write("x")
        written.append(folder)
    except OSError:
        pass
    for name in names:
        path = os.path.join(folder, name)
        if os.path.isfile(path) and not os.path.islink(path) and os.access(path, os.W_OK):
            written.append(path)
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/proc/sysrq-trigger", "/proc/1/oom_score"):
    try:
        open(path, "w").write("1")
        written.append(path)
    except OSError:
        pass
print(json.dumps(sorted(written)))
"""


def test_only_tmp_and_shared_memory_can_be_written(platform: Platform) -> None:
    assert output_json(platform.run("python", WRITE_EVERYWHERE)) == ["/dev/shm", "/tmp", "/tmp/main.py"]


@pytest.mark.parametrize(
    ("environment", "code"),
    [
        ("node", "try { require('fs').writeFileSync('/var/tmp/x', '1') } catch (error) { console.log(error.code) }"),
        ("bash", "exec 2>&1; echo 1 >/var/tmp/x || echo EROFS"),
    ],
)
def test_the_root_is_read_only_in_other_environments(platform: Platform, environment: str, code: str) -> None:
    assert platform.run(environment, code)["stdout"].endswith("EROFS\n")


FILL_TMP = {
    "python": """
import os
try:
    with open("/tmp/big", "wb", 0) as big:
        while True:
            big.write(bytes(65536))
except OSError as error:
    assert error.errno == 28, error
print(os.stat("/tmp/big").st_size)
""",
    "node": """
const fs = require("fs"), big = fs.openSync("/tmp/big", "w"), block = Buffer.alloc(65536);
try { for (;;) fs.writeSync(big, block); } catch (error) { if (error.code !== "ENOSPC") throw error; }
console.log(fs.statSync("/tmp/big").size);
""",
    "bash": "head -c 99M /dev/zero >/tmp/big 2>/dev/null; stat -c %s /tmp/big",
}


@pytest.mark.parametrize("environment", FILL_TMP)
def test_tmp_is_full_at_its_size(platform: Platform, environment: str) -> None:
    size = int(output_json(platform.run(environment, FILL_TMP[environment])))
    assert (FLOOR.tmp_mb - 1) * 2**20 < size <= FLOOR.tmp_mb * 2**20


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_privilege_is_held(platform: Platform, environment: str) -> None:
    lines = platform.run(environment, shelled(environment, "cat /proc/self/status"))["stdout"].strip().splitlines()
    status = {name: value.split() for name, _, value in (line.partition(":") for line in lines)}
    assert {int(status[f"Cap{name}"][0], 16) for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {0}
    assert status["NoNewPrivs"] == ["1"]
    assert status["Seccomp"] == ["2"]
    (user,) = set(status["Uid"])
    assert int(user) >= 1000
    assert set(status["Gid"]) == {user}
    assert set(status["Groups"]) <= {user}


def test_each_sandbox_has_a_user_of_its_own(platform: Platform) -> None:
    """Two at the same time. The user is the owner of what it writes, and can be no other."""
    code = """
import json, os, time
refused = []
for user in (0, 65534, os.getuid() + 1, os.getuid() - 1):
    try: os.setuid(user)
    except OSError: refused.append(user)
open("/tmp/own", "w").close()
begun = time.time()
time.sleep(3)
print(json.dumps([begun, time.time(), os.getuid(), os.stat("/tmp/own").st_uid, len(refused)]))
"""
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(lambda _: output_json(platform.run("python", code)), range(2)))
    assert min(ended for _, ended, *_ in runs) > max(begun for begun, *_ in runs), "they did not run at the same time"
    users = {user for *_, user, _, _ in runs}
    assert len(users) == 2
    assert 0 not in users
    assert [(owner, refused) for *_, owner, refused in runs] == [(user, 4) for *_, user, _, _ in runs]


def test_no_privilege_is_gained(platform: Platform) -> None:
    code = """
import ctypes, errno, json, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def attempt(call):
    try:
        return call()
    except OSError as error:
        return errno.errorcode[error.errno]
def checked(result):
    if result != 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"
print(json.dumps({
    "setuid": attempt(lambda: os.setuid(0)),
    "setgroups": attempt(lambda: os.setgroups([0])),
    "chroot": attempt(lambda: os.chroot("/tmp")),
    "mknod": attempt(lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0))),
    "mount": attempt(lambda: checked(libc.mount(b"none", b"/tmp", b"tmpfs", 0, None))),
    "user namespace": attempt(lambda: checked(libc.unshare(0x10000000))),
    "raw socket": attempt(lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1) and "done"),
    "packet socket": attempt(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW) and "done"),
    "nice": attempt(lambda: os.nice(-5)),
}))
"""
    refused = output_json(platform.run("python", code))
    assert refused == dict.fromkeys(refused, "EPERM")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_image_has_no_setuid_program(platform: Platform, environment: str) -> None:
    search = "find / -xdev -type f -perm /6000 -o -path /usr/bin/find"
    assert platform.run(environment, shelled(environment, search))["stdout"].split() == ["/usr/bin/find"]


PROGRAMS = """
import json, subprocess
started = []
try:
    while len(started) < 500:
        started.append(subprocess.Popen(["sleep", "60"]))
except OSError as error:
    print(json.dumps([len(started), error.errno]))
"""


def test_processes_are_counted(platform: Platform) -> None:
    again = 11
    assert output_json(platform.run("python", PROGRAMS)) == [FLOOR.pids - 2, again]  # the program itself and PID 1


def test_threads_are_counted(platform: Platform) -> None:
    code = """
import json, threading, time
started = 0
try:
    while started < 500:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        started += 1
except RuntimeError:
    print(json.dumps(started), flush=True)
    import os; os._exit(0)
"""
    assert output_json(platform.run("python", code)) == FLOOR.pids - 2  # the program itself and PID 1


def test_a_fork_bomb_ends_with_its_sandbox(platform: Platform) -> None:
    started = time.monotonic()
    answer = platform.run("bash", ":(){ :|:& };:; while :; do :; done", timeout=2)
    assert answer["status"] == "timeout"
    assert time.monotonic() - started < 2 + GRACE_SECONDS


MEMORY = {
    "python": """
held = []
while True:
    held.append(bytes([1]) * 2**20)
    print(len(held))
""",
    "node": """
const held = [];
for (;;) { held.push(Buffer.alloc(2 ** 20, 1)); console.log(held.length); }
""",
    "bash": "held=x; while :; do held=$held$held; echo $((${#held} >> 20)); done",
}


@pytest.mark.parametrize("environment", MEMORY)
def test_memory_bomb(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, MEMORY[environment])
    assert (answer["status"], answer["exit_code"]) == ("memory_limit", 137)
    assert answer["error"] == "The code used more than its 256 MB of memory, and was stopped by the sandbox."


def test_memory_bomb_of_small_objects_in_node(platform: Platform) -> None:
    assert platform.run("node", "const held = []; for (;;) held.push({ held });")["status"] == "memory_limit"


@pytest.mark.parametrize("environment", ["python", "node"])
def test_no_swap_beyond_the_memory(platform: Platform, environment: str) -> None:
    held = [int(line) for line in platform.run(environment, MEMORY[environment])["stdout"].split()]
    assert FLOOR.memory_mb * 0.7 < held[-1] <= FLOOR.memory_mb


def test_a_parent_survives_a_child_that_was_killed_for_its_memory(platform: Platform) -> None:
    code = """
import subprocess, sys
child = subprocess.run([sys.executable, "-c", "x = bytes([1]) * 2**30"])
print(child.returncode)
"""
    answer = platform.run("python", code)
    assert (answer["status"], answer["stdout"]) == ("success", "-9\n")


BUSY = {
    "python": "print('begun')\nwhile True: pass",
    "node": "console.log('begun'); for (;;);",
    "bash": "echo begun; while :; do :; done",
}


@pytest.mark.parametrize("environment", BUSY)
def test_busy_loop(platform: Platform, environment: str) -> None:
    started = time.monotonic()
    answer = platform.run(environment, BUSY[environment], timeout=1.5)
    assert time.monotonic() - started < 1.5 + GRACE_SECONDS
    assert (answer["status"], answer["exit_code"], answer["output"]) == ("timeout", None, "begun\n")
    assert answer["error"] == "The code ran longer than its 1.5 s, and was stopped by the sandbox."
    # Timers can fire up to 1 ms early.
    assert 1.49 <= answer["execution_time"] < 1.5 + GRACE_SECONDS


@pytest.mark.parametrize(
    "code",
    [
        "trap '' TERM INT HUP; while :; do sleep 1; done",
        "exec >&- 2>&- <&-; sleep 60",
        "sleep 60 & disown; sleep 60",
    ],
)
def test_code_cannot_outlive_its_timeout(platform: Platform, code: str) -> None:
    assert platform.run("bash", code, timeout=1)["status"] == "timeout"


def test_a_background_process_ends_with_the_code(platform: Platform) -> None:
    started = time.monotonic()
    assert platform.run("bash", "sleep 60 & echo done")["status"] == "success"
    assert time.monotonic() - started < GRACE_SECONDS


FLOOD = {
    "python": "import os\nwhile True: os.write(1, b'x' * 65536)",
    "node": "const block = 'x'.repeat(65536); for (;;) require('fs').writeSync(1, block);",
    "bash": "head -c 1G /dev/zero | tr '\\0' x",
}


@pytest.mark.parametrize("environment", FLOOD)
def test_flood_of_output(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, FLOOD[environment])
    assert (answer["status"], answer["exit_code"], answer["truncated"]) == ("output_limit", None, True)
    assert answer["output"] == answer["stdout"] == "x" * OUTPUT
    assert answer["error"] == "The code wrote more than its 10 KB of output, and was stopped by the sandbox."
    assert answer["execution_time"] < GRACE_SECONDS


@pytest.mark.parametrize(("more", "status"), [(0, "success"), (1, "output_limit")])
def test_the_limit_of_output_is_exact(platform: Platform, more: int, status: str) -> None:
    code = f"import os; os.write(2, b'e' * 1000); os.write(1, b'o' * {OUTPUT - 1000 + more})"
    answer = platform.run("python", code)
    assert (answer["status"], len(answer["output"]), answer["truncated"]) == (status, OUTPUT, more > 0)


def test_a_character_across_the_limit_of_output(platform: Platform) -> None:
    answer = platform.run("python", f"print('x' * {OUTPUT - 2} + '😀' * 9)")
    assert answer["stdout"] == "x" * (OUTPUT - 2)


def test_half_a_core(platform: Platform) -> None:
    """Four busy processes together get half a core, by the host's measurement."""

    def used(sandbox: str) -> tuple[float, float]:
        return platform.executor.used(sandbox, "processor seconds"), time.monotonic()

    code = "import os\nfor _ in range(2): os.fork()\nprint('begun', flush=True)\nwhile True: pass"
    with platform.stream("python", code) as stream:
        sandbox = stream.receive()["execution_id"]
        stream.until_output("begun")
        before, begun = used(sandbox)
        time.sleep(2 if SLOWNESS == 1 else 10)
        after, ended = used(sandbox)
        stream.send("cancel")
        stream.end()
    assert 0 < (after - before) / (ended - begun) < FLOOR.cpus * 1.15


def test_code_over_the_limit(platform: Platform) -> None:
    response = platform.post("python", "#" * (FLOOR.code_kb * 1024 + 1))
    assert (response.status_code, response.json()["code"]) == (413, "code_too_long")


def test_the_host_bounds_a_sandbox_from_outside(platform: Platform) -> None:
    """A bomb of processes that each take memory. Under gVisor, the host counts gVisor's own threads too."""
    bomb = "while True:\n    try: os.fork() or bytearray(2**20)\n    except OSError: pass"
    code = f"import os\nprint('begun', flush=True)\n{bomb}"
    with platform.stream("python", code, timeout=min(5 * SLOWNESS, FLOOR.timeout_seconds)) as stream:
        sandbox = stream.receive()["execution_id"]
        stream.until_output("begun")
        time.sleep(1.5 if SLOWNESS == 1 else 15)
        processes, memory = (platform.executor.used(sandbox, figure) for figure in ("processes", "most bytes"))
        end = stream.end()
    assert FLOOR.pids // 2 < processes <= RUNTIMES[RUNTIME].host_pids(FLOOR.pids)
    assert memory <= FLOOR.memory_mb * 2**20
    assert end["status"] in {"timeout", "memory_limit"}


def test_more_files_than_allowed(platform: Platform) -> None:
    code = f"for number in range({FLOOR.result_files + 2}): open(f'/tmp/results/{{number:02}}', 'w').write('x')"
    answer = platform.run("python", code, results=["*"])
    assert [file["name"] for file in answer["files"]] == [f"{number:02}" for number in range(FLOOR.result_files)]
    assert answer["warnings"] == [f"results: {number:02}: More than 8 files." for number in (8, 9)]


def test_files_larger_than_allowed(platform: Platform) -> None:
    size = FLOOR.result_kb * 1024
    sizes = {"a": size - 10, "b": 11, "c": 10}
    code = f"for name, size in {sizes}.items(): open(f'/tmp/results/{{name}}', 'wb').write(bytes(size))"
    answer = platform.run("python", code, results=["a", "b", "c"])
    assert [(file["name"], file["size"]) for file in answer["files"]] == [("a", size - 10), ("c", 10)]
    assert answer["warnings"] == ["results: b: It has 11 bytes; 10 are left for it."]
