"""What a sandbox has besides its environment's files: user, mounts, devices and limits, seen from inside."""

import json
from typing import Any

import pytest

from app.profile import FLOOR
from tests.sandbox.attacks.carrier import shelled
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform, output_json

IDENTITY = """
import json, os
def identity(path):
    found = os.stat(path)
    return [os.major(found.st_dev), os.minor(found.st_dev), found.st_ino]
"""
LOOK = """
import resource, socket, stat, sys
def read(path):
    with open(path) as file: return file.read()
def shown(path):
    "Whether a masked file or folder has content. AppArmor closes some."
    try: return bool((os.listdir if os.path.isdir(path) else read)(path))
    except PermissionError: return False
mounts = {}
for line in read("/proc/self/mountinfo").splitlines():
    place, options, kind, own = (line.split()[index] for index in (4, 5, -3, -1))
    mounts[place] = [kind, options.split(","), own.split(",")]
LIMITS = ("CORE", "FSIZE", "SIGPENDING", "MSGQUEUE")
MASKED = ("/proc/keys", "/proc/timer_list", "/proc/interrupts", "/proc/acpi", "/proc/kcore", "/proc/latency_stats",
          "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap")
there = [path for path in MASKED if os.path.exists(path)]
print(json.dumps({
    "ids": [*os.getresuid(), *os.getresgid()],
    "hostname": socket.gethostname(),
    "hosts": read("/etc/hosts"),
    "addresses": sorted({found[4][0] for found in socket.getaddrinfo("localhost", 80)}),
    "resolv.conf": read("/etc/resolv.conf"),
    "devices": sorted(os.listdir("/dev")),
    "mounts": mounts,
    "limits": {name: resource.getrlimit(getattr(resource, f"RLIMIT_{name}")) for name in LIMITS},
    "/dev/shm": os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize,
    "masked": {path: identity(path) for path in there},
    "shown": [path for path in there if shown(path)],
    "inodes": {path: identity(path) for path in ("/dev/null", "/dev/tty", "/dev/pts", "/dev/shm", "/tmp", "/sys", "/")},
}), flush=True)
sys.stdin.readline()
"""
CLOSED = {"nosuid", "nodev", "noexec"}


@pytest.fixture(scope="module")
def two(shared: Platform) -> tuple[Any, Any]:
    """What two sandboxes see that run at the same time."""
    with shared.stream("python", IDENTITY + LOOK) as first:
        first.receive()
        text = ""
        while not text.endswith("\n"):
            text += first.receive()["data"]
        second = output_json(shared.run("python", IDENTITY + LOOK))
        first.send("stdin", data="\n")
        end = first.end()
    return output_json({**end, "stdout": text}), second


def test_each_sandbox_has_a_user_of_its_own(two: tuple[Any, Any]) -> None:
    users = [set(it["ids"]) for it in two]
    assert all(len(ids) == 1 and min(ids) >= 1000 for ids in users)
    assert users[0] != users[1]


def test_each_sandbox_has_inodes_of_its_own(two: tuple[Any, Any]) -> None:
    first, second = two
    assert first["masked"].keys() == second["masked"].keys() >= {"/proc/keys", "/proc/interrupts"}
    for kind in ("masked", "inodes"):
        assert [path for path in first[kind] if first[kind][path] == second[kind][path]] == []


def test_no_inode_is_the_hosts_or_the_executors(two: tuple[Any, Any], shared: Platform, host: Host) -> None:
    """Whatever they call it: a file may be masked with the device of another place."""
    own = {**two[0]["masked"], **two[0]["inodes"]}
    look = f"{IDENTITY}\nprint(json.dumps({{path: identity(path) for path in {list(own)} if os.path.exists(path)}}))"
    for said in (host.python(look), shared.executor.python(look)):
        theirs = json.loads(said)
        assert theirs.keys() >= {"/dev/null", "/proc/keys", "/proc/interrupts"}
        assert [path for path, inode in own.items() if inode in theirs.values()] == []


def test_masked_files_are_empty(two: tuple[Any, Any]) -> None:
    assert two[0]["shown"] == []


def test_names_and_addresses(two: tuple[Any, Any]) -> None:
    found = two[0]
    assert found["hostname"] == "sandbox"
    assert found["addresses"] == ["127.0.0.1", "::1"]
    assert [line.split()[:2] for line in found["hosts"].splitlines()] == [
        ["127.0.0.1", "localhost"],
        ["::1", "localhost"],
    ]
    assert found["resolv.conf"] == ""


def test_limits_of_each_process(two: tuple[Any, Any]) -> None:
    size = FLOOR.tmp_mb * 2**20
    assert two[0]["limits"] == {"CORE": [1, 1], "FSIZE": [size] * 2, "SIGPENDING": [256] * 2, "MSGQUEUE": [0, 0]}


def test_mounts_and_devices(two: tuple[Any, Any]) -> None:
    found = two[0]
    mounts = {place: (kind, set(options), set(own)) for place, (kind, options, own) in found["mounts"].items()}
    assert "ro" in mounts["/"][1]
    for place in ("/tmp", "/dev/shm", "/proc", "/sys"):
        assert mounts[place][1] >= CLOSED, place
    assert (mounts["/tmp"][0], f"size={FLOOR.tmp_mb * 1024}k" in mounts["/tmp"][2]) == ("tmpfs", True)
    assert found["/dev/shm"] == 16 * 2**20
    assert (mounts["/dev/pts"][0], "max=16" in mounts["/dev/pts"][2]) == ("devpts", True)
    assert "ro" in mounts["/sys"][1]
    assert "/dev/mqueue" not in mounts
    devices = {
        "fd",
        "full",
        "null",
        "ptmx",
        "pts",
        "random",
        "shm",
        "stderr",
        "stdin",
        "stdout",
        "tty",
        "urandom",
        "zero",
    }
    assert set(found["devices"]) - {"core"} == devices


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm"])
def test_programs_in_writable_folders_cannot_be_executed(platform: Platform, folder: str) -> None:
    answer = platform.run("python", shelled("python", f"cp /usr/bin/true {folder}/own && {folder}/own"))
    assert answer["exit_code"] == 126
    assert "Permission denied" in answer["stderr"]


def test_multiprocessing_within_the_processes_of_the_profile(platform: Platform) -> None:
    """Semaphores and shared memory are files in /dev/shm; a pool has threads of its own beside its processes."""
    code = f"""
from multiprocessing import Pool, Queue, Semaphore, shared_memory
memory = shared_memory.SharedMemory(create=True, size=2**20)
queue, semaphore = Queue(), Semaphore(1)

def work(number):
    with semaphore:
        memory.buf[number] = number
    return number * number

if __name__ == "__main__":
    with Pool({FLOOR.pids - 8}) as pool:
        assert pool.map(work, range(100)) == [number * number for number in range(100)]
    queue.put(bytes(memory.buf[:100]) == bytes(range(100)))
    print(queue.get())
    memory.close()
    memory.unlink()
"""
    assert platform.run("python", code)["output"] == "True\n"


def test_the_kernel_kills_a_sandbox_before_the_executor(platform: Platform) -> None:
    answer = platform.run("python", "print(open('/proc/self/oom_score_adj').read(), end='')")
    assert answer["stdout"] == "1000\n"
