"""Attacks on other visitors: covert channels between two sandboxes, and traces of an earlier execution."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from app.environments import ENVIRONMENTS
from tests.sandbox.attacks.carrier import CALLS, carried
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform, output_json

CHANNELS = """
import fcntl, socket, sys, time
NAME, PORT, KEY = b"a-name-that-both-know", 4321, 0x5EC2E7
FILES = ("/usr/bin/python3", "/bin/sh", "/etc/passwd", "/sys/devices/system/cpu/online", "/proc/cpuinfo", "/proc/keys")
SHARED = [path for path in FILES if os.path.exists(path)]
libc.shmat.restype = ctypes.c_void_p

def lock(path):
    fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)

def bound(family, kind, address):
    listener = socket.socket(family, kind)
    listener.bind(address)
    if kind == socket.SOCK_STREAM: listener.listen()
    held.append(listener)

def connected(family, kind, address):
    with socket.socket(family, kind) as probe:
        probe.settimeout(0.2)
        probe.connect(address)
        probe.send(b"x")

def must(result):
    if result in (-1, None, 2**64 - 1) or isinstance(result, str): raise OSError(1, "refused")
    return result

HOLD = {
    "abstract socket": lambda: bound(1, 1, b"\\0" + NAME),
    "abstract datagram": lambda: bound(1, 2, b"\\0datagram-" + NAME),
    "path socket": lambda: bound(1, 1, b"/tmp/" + NAME),
    "TCP": lambda: bound(2, 1, ("127.0.0.1", PORT)),
    "TCP on every address": lambda: bound(2, 1, ("0.0.0.0", PORT + 1)),
    "UDP": lambda: bound(2, 2, ("127.0.0.1", PORT)),
    "TCP v6": lambda: bound(10, 1, ("::1", PORT)),
    "vsock": lambda: bound(40, 1, (0xFFFFFFFF, PORT)),
    "user's keyring": lambda: must(call(248, ctypes.c_char_p(b"user"), ctypes.c_char_p(NAME), b"v", 1, -4)),
    "session's keyring": lambda: must(call(248, ctypes.c_char_p(b"user"), ctypes.c_char_p(NAME), b"v", 1, -5)),
    "System V memory": lambda: must(libc.shmget(KEY, 4096, 0o1666)),
    "System V semaphore": lambda: must(libc.semget(KEY, 1, 0o1666)),
    "System V queue": lambda: must(libc.msgget(KEY, 0o1666)),
    "POSIX memory": lambda: must(libc.shm_open(b"/" + NAME, os.O_CREAT | os.O_RDWR, 0o666)),
    "POSIX queue": lambda: must(libc.mq_open(b"/" + NAME, os.O_CREAT | os.O_RDWR, 0o666, None)),
    "file in /tmp": lambda: open(b"/tmp/file-" + NAME, "w").close(),
    "file in /dev/shm": lambda: open(b"/dev/shm/" + NAME, "w").close(),
    **{f"lock on {path}": lambda path=path: lock(path) for path in (*SHARED, "/tmp")},
}

def is_locked(path):
    file = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return
    finally:
        os.close(file)
    raise OSError(1, "not locked")

SEEK = {
    "abstract socket": lambda: connected(1, 1, b"\\0" + NAME),
    "abstract datagram": lambda: connected(1, 2, b"\\0datagram-" + NAME),
    "path socket": lambda: connected(1, 1, b"/tmp/" + NAME),
    "TCP": lambda: connected(2, 1, ("127.0.0.1", PORT)),
    "TCP on every address": lambda: connected(2, 1, ("127.0.0.1", PORT + 1)),
    "TCP v6": lambda: connected(10, 1, ("::1", PORT)),
    "vsock": lambda: connected(40, 1, (1, PORT)),
    "vsock of the host": lambda: connected(40, 1, (2, PORT)),
    "keyring": lambda: must(call(249, ctypes.c_char_p(b"user"), ctypes.c_char_p(NAME), None, -4)),
    "System V memory": lambda: must(libc.shmget(KEY, 4096, 0o666)),
    "System V semaphore": lambda: must(libc.semget(KEY, 1, 0o666)),
    "System V queue": lambda: must(libc.msgget(KEY, 0o666)),
    "POSIX memory": lambda: must(libc.shm_open(b"/" + NAME, os.O_RDWR, 0)),
    "POSIX queue": lambda: must(libc.mq_open(b"/" + NAME, os.O_RDWR)),
    "file in /tmp": lambda: os.stat(b"/tmp/file-" + NAME),
    "file in /dev/shm": lambda: os.stat(b"/dev/shm/" + NAME),
    **{f"lock on {path}": lambda path=path: is_locked(path) for path in (*SHARED, "/tmp")},
    "a process": lambda: MARK in "".join(map(command, os.listdir("/proc"))) or must(-1),
}

def command(process):
    try:
        own = int(process) == os.getpid()
        return "" if own else open(f"/proc/{process}/cmdline").read()
    except (OSError, ValueError):
        return ""

held, MARK = [], "a-process-" + NAME.decode()

def hold(seconds):
    for attempt in HOLD.values():
        try: attempt()
        except (OSError, AttributeError): pass
    if os.fork() == 0:
        os.execv(sys.executable, [sys.executable, "-c", f"import time; time.sleep({seconds})", MARK])

def seek(seconds):
    "The names of the channels that could be reached within so many seconds."
    found, deadline = set(), time.time() + seconds
    while time.time() < deadline:
        for name, attempt in SEEK.items():
            if name not in found and opened(attempt) == "done":
                found.add(name)
        time.sleep(0.1)
    return sorted(found)
"""
REACHABLE_INSIDE = {
    *("abstract socket", "abstract datagram", "path socket", "TCP", "TCP on every address", "TCP v6"),
    *("file in /tmp", "file in /dev/shm", "POSIX memory", "lock on /etc/passwd", "lock on /tmp", "a process"),
    *("lock on /sys/devices/system/cpu/online", "lock on /proc/cpuinfo", "lock on /proc/keys"),
}
"""Channels that the probe must find when holder and seeker share a sandbox. This shows that the probe works."""
LOCKS = {name for name in REACHABLE_INSIDE if name.startswith("lock on /") and name != "lock on /tmp"}
"""AppArmor lets nobody lock for itself alone what it may not write."""


def holder_and_seeker(seconds: float) -> str:
    """Code that finds its own channels for so many seconds, and prints their names."""
    return f"{CALLS}{CHANNELS}\nhold({2 * seconds})\nprint(json.dumps(apart(lambda: seek({seconds}))))"


def found_by_another(run: Callable[[str], Any], seconds: float) -> list[str]:
    """The names of the channels that code finds which other code holds at the same time, each for so many seconds.

    AssertionError if they ran together for less than 1 s, because a sandbox for the second had to be made first.
    """

    def timed(doing: str) -> str:
        result = "print(json.dumps([begun, time.time(), found]))"
        return f"{CALLS}{CHANNELS}\nbegun = time.time()\nfound = {doing}\n{result}"

    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(run, timed(f"(hold({seconds}), time.sleep({seconds}))"))
        seeking = pool.submit(run, timed(f"seek({seconds})"))
        held_from, held_until, _ = output_json(holding.result())
        sought_from, sought_until, found = output_json(seeking.result())
    assert min(held_until, sought_until) - max(held_from, sought_from) > 1, "they did not run at the same time"
    return list(found)


def test_the_probe_finds_channels_within_one_sandbox(platform: Platform, host: Host, runtime: str) -> None:
    """gVisor has no /proc/keys."""
    missing = REACHABLE_INSIDE - set(output_json(platform.run("python", holder_and_seeker(3))))
    assert missing <= (LOCKS if host.apparmor else {"lock on /proc/keys"} if runtime == "runsc" else set())


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_two_sandboxes_have_no_channel(platform: Platform, environment: str) -> None:
    """Two sandboxes of one environment share a root file system, which is read-only, and a kernel."""

    def run(attack: str) -> Any:
        return platform.run(environment, carried(environment, attack), timeout=25)

    # The second sandbox that loads packages is ready some seconds after the first.
    assert found_by_another(run, seconds=10 if ENVIRONMENTS[environment].packages else 4) == []


LEAVE = """
import os, sys, time
secret = "SECRET"
with open("/tmp/left-behind", "w") as file: file.write(secret)
os.environ["LEFT"] = secret
held = [secret * 1000 + str(number) for number in range(2000)]
print("left")
"""
LOOK = """
import json, mmap, os, re
# One character class for each character, so that the pattern itself does not contain the secret.
secret = re.compile(b"".join(b"[" + bytes([character]) + b"]" for character in reversed(b"TERCES")))
found = []

def look(name, read):
    try:
        if secret.search(read() or b""): found.append(name)
    except OSError:
        pass

for folder, folders, names in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in {"/proc", "/sys", "/usr"}]
    for name in names:
        path = os.path.join(folder, name)
        look(path, lambda: os.read(os.open(path, os.O_RDONLY | os.O_NONBLOCK), 2**16))
for process in filter(str.isdigit, os.listdir("/proc")):
    for name in ("environ", "cmdline"):
        look(name, lambda: os.read(os.open(f"/proc/{process}/{name}", os.O_RDONLY), 2**16))
# Together with gVisor and the packages of python-data, 100 MB would be more than a sandbox may use.
fresh = mmap.mmap(-1, 50 * 2**20)
if any(fresh.read(2**20).strip(b"\\0") for _ in range(50)): found.append("fresh memory")
with open("/proc/self/maps") as maps:
    areas = [line.split() for line in maps]
memory = os.open("/proc/self/mem", os.O_RDONLY)
for area, modes, *_ in areas:
    begin, end = (int(part, 16) for part in area.split("-"))
    if "w" in modes and end - begin < 2**25:
        look("own memory", lambda: os.pread(memory, end - begin, begin))
print(json.dumps(sorted(set(found))))
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_earlier_execution_leaves_no_trace(platform: Platform, environment: str) -> None:
    secret = uuid.uuid4().hex
    left = platform.run(environment, carried(environment, LEAVE.replace("SECRET", secret)))
    assert left["stdout"] == "left\n"
    look = LOOK.replace("TERCES", secret[::-1])
    assert output_json(platform.run(environment, carried(environment, look))) == []


def test_the_search_finds_a_secret_of_the_same_execution(platform: Platform) -> None:
    """Shows that the search works."""
    secret = uuid.uuid4().hex
    both = LEAVE.replace("SECRET", secret).replace('print("left")', "") + LOOK.replace("TERCES", secret[::-1])
    found = output_json(platform.run("python", both))
    assert "/tmp/left-behind" in found
    assert "own memory" in found
