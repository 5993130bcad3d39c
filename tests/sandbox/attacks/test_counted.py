"""Attacks on what the kernel counts by user, by owner of a namespace or for the whole host, and on files in common.

One sandbox takes all that it can get. Another one, and a service of the host, must get what they get otherwise.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from tests.sandbox.attacks.carrier import CALLS
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform, output_json

TAKE = """
import fcntl, sys, tempfile
SIGNAL, SET_PIPE_SIZE, MEGABYTE = signal.SIGRTMIN, 1031, 2**20
signal.pthread_sigmask(signal.SIG_BLOCK, [SIGNAL])
watcher, folder, names = libc.inotify_init1(0), tempfile.mkdtemp(), iter(range(10**9))

def checked(result):
    if result < 0: raise OSError(ctypes.get_errno(), "refused")
    return result

def watch():
    path = f"{folder}/{next(names)}"
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY))
    checked(libc.inotify_add_watch(watcher, path.encode(), 1))

def pipe():
    "Its buffer is 256 pages."
    fcntl.fcntl(os.pipe()[1], SET_PIPE_SIZE, MEGABYTE)

TAKEN = {
    "pseudo terminals": lambda: os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY),
    "inotify instances": lambda: checked(libc.inotify_init1(0)),
    "inotify watches": watch,
    "pending signals": lambda: checked(libc.sigqueue(os.getpid(), SIGNAL, None)),
    "timers": lambda: checked(libc.timer_create(1, None, ctypes.byref(ctypes.c_void_p()))),
    "pipe pages": pipe,
}

def take(kind, most):
    "How many there were when the next was refused."
    for taken in range(most):
        try:
            TAKEN[kind]()
        except OSError:
            return taken
    return most
"""
KINDS = ("pseudo terminals", "inotify instances", "inotify watches", "pending signals", "timers", "pipe pages")
GREEDY, USUAL = 100_000, 300
"""How many the attacker tries to take, and how many of them the others want."""
GREEDY_UNDER_GVISOR = 5_000
"""gVisor makes a thousand timers in a second of half a core."""
BOUNDED_AT = {"pseudo terminals": 16, "pending signals": 256, "timers": 256}


def _code(kind: str, most: int, then: str = "") -> str:
    return f"{CALLS}{TAKE}\nprint(json.dumps(take({kind!r}, {most})), flush=True)\n{then}"


def _of_a_service(kind: str, host: Host) -> int:
    """How many root gets on the host."""
    return int(host.python(_code(kind, USUAL, "import shutil; shutil.rmtree(folder)")))


@pytest.mark.parametrize("kind", KINDS)
def test_one_sandbox_takes_nothing_from_others(platform: Platform, host: Host, kind: str, runtime: str) -> None:
    """gVisor counts each sandbox for itself, and has no bound for some."""
    greed = GREEDY_UNDER_GVISOR if runtime == "runsc" else GREEDY
    alone, of_a_service = output_json(platform.run("python", _code(kind, USUAL))), _of_a_service(kind, host)
    with platform.stream("python", _code(kind, greed, "import time; time.sleep(60)"), timeout=30) as greedy:
        while (frame := greedy.receive())["type"] == "started":
            pass
        beside, of_a_service_beside = output_json(platform.run("python", _code(kind, USUAL))), _of_a_service(kind, host)
        greedy.send("cancel")
        greedy.end()
    assert runtime == "runsc" or int(frame["data"]) <= BOUNDED_AT.get(kind, GREEDY - 1), "the attacker was not stopped"
    assert beside >= alone >= 16
    assert of_a_service_beside >= of_a_service * 0.9, "a service of the host gets less"


HOLD = """
import fcntl, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
DONT_FOLLOW = 0x02000000
watcher = libc.inotify_init1(os.O_NONBLOCK)
kept = []

def paths():
    "Every file and folder of the walk but those of processes, and the sandbox's own /tmp."
    for place in PLACES:
        yield place
        for folder, folders, names in os.walk(place):
            folders[:] = [name for name in folders if not name.isdigit() and (folder, name) != ("/", "tmp")]
            yield from (os.path.join(folder, name) for name in (*folders, *names))
            if folder.count("/") >= DEEPEST: folders.clear()

def opened_file(path):
    for mode in (os.O_RDWR, os.O_RDONLY):
        try:
            return os.open(path, mode | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW), mode
        except OSError:
            continue
    return None, None

def locked(file, mode):
    "Take each lock that the kernel has, and return whether one was somebody else's."
    refused = False
    for lock in (fcntl.flock, fcntl.lockf):
        try:
            lock(file, (fcntl.LOCK_EX if lock is fcntl.flock or mode == os.O_RDWR else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            refused = True
        except OSError:
            pass
    return refused

def watched(path):
    "Whether each event of the path itself, not of what a link leads to, is told from now on."
    return libc.inotify_add_watch(watcher, path.encode(), 0xFFF | DONT_FOLLOW) >= 0

def hold():
    "Lock and watch each path. Returns how many."
    for path in paths():
        file, mode = opened_file(path)
        if file is not None:
            locked(file, mode)
            kept.append(file)
            watched(path)
    while seen(): pass
    return len(kept)

def watch():
    "Watch each path. Returns how many."
    count = sum(map(watched, paths()))
    while seen(): pass
    return count

def seek():
    "How many paths are locked by somebody else, the first of them, and how many were tried."
    found, tried = [], 0
    for path in paths():
        file, mode = opened_file(path)
        if file is not None:
            tried += 1
            if locked(file, mode): found.append(path)
            os.close(file)
    return len(found), found[:20], tried

def seen():
    "How many bytes of events there were."
    try:
        return len(os.read(watcher, 2**16))
    except BlockingIOError:
        return 0
"""


@dataclass(frozen=True)
class Walk:
    """What is locked, watched and looked at: folders of these places, of which the deepest have so many parts."""

    places: tuple[str, ...]
    deepest: int = 99

    def code(self, then: str) -> str:
        """The probe, and what it does."""
        return f"{CALLS}{HOLD}\nPLACES, DEEPEST = {self.places}, {self.deepest}\n{then}"


EVERYTHING = Walk(("/",))
OF_THE_KERNEL = Walk(("/dev", "/etc", "/proc", "/sys"))
"""Where a service has files of the same names, a sandbox's masked ones among them."""
SHORT = Walk(OF_THE_KERNEL.places, 3)
"""All masked files and folders are among it. A whole walk takes longer than an emulated execution may."""

SEEKERS: Mapping[str, Callable[[Platform, str], Any]] = {
    "sandbox": lambda platform, code: output_json(platform.run("python", code)),
    "service": lambda platform, code: json.loads(platform.executor.python(code)),
}
"""Who runs code beside a sandbox: another sandbox, or root in the executor's container."""


@pytest.mark.parametrize(("seeker", "walk"), [("sandbox", EVERYTHING), ("service", OF_THE_KERNEL)], ids=SEEKERS)
def test_no_file_of_one_sandbox_is_locked_or_watched_by_another(platform: Platform, seeker: str, walk: Walk) -> None:
    """The masked files and folders of /proc and /sys, the devices and the root file system among them."""
    holding = walk.code("print(hold(), flush=True)\nsys.stdin.readline()\nprint(seen())")
    with platform.stream("python", holding) as holder:
        holder.until_output("\n")
        locked, found, tried = SEEKERS[seeker](platform, walk.code("print(json.dumps(seek()))"))
        holder.send("stdin", data="\n")
        said = _said(holder)
    assert (locked, said) == (0, "0\n"), found
    assert tried > 1000


@pytest.mark.parametrize(("place", "walk"), [("sandbox", EVERYTHING), ("service", OF_THE_KERNEL)], ids=SEEKERS)
def test_the_probe_finds_locks_and_watches_in_one_sandbox(platform: Platform, place: str, walk: Walk) -> None:
    """And in the executor's container alone."""
    both = walk.code("held = hold()\nfound, *_ = apart(seek)\nprint(json.dumps([held, found, seen()]))")
    held, found, events = SEEKERS[place](platform, both)
    assert found > held * 0.9
    assert events > 0


@pytest.mark.parametrize("seeker", SEEKERS)
def test_a_sandbox_sees_nothing_of_what_others_open(platform: Platform, seeker: str) -> None:
    holding = SHORT.code("print(watch(), flush=True)\nsys.stdin.readline()\nprint(seen())")
    with platform.stream("python", holding) as holder:
        watched = _line(holder)
        *_, tried = SEEKERS[seeker](platform, SHORT.code("print(json.dumps(seek()))"))
        holder.send("stdin", data="\n")
        assert _said(holder) == "0\n"
    assert min(int(watched), tried) > 100


def test_a_sandbox_sees_what_it_opens_itself(platform: Platform) -> None:
    both = SHORT.code("watch()\n*_, tried = apart(seek)\nprint(json.dumps([tried, seen()]))")
    tried, events = output_json(platform.run("python", both))
    assert tried > 100
    assert events > 0


def _line(stream: Any) -> str:
    """The first line of output."""
    text = ""
    while not text.endswith("\n"):
        text += stream.receive().get("data", "")
    return text


def _said(stream: Any) -> str:
    text = ""
    while (frame := stream.receive())["type"] == "output":
        text += frame["data"]
    assert frame["status"] == "success", json.dumps(frame)
    return text
