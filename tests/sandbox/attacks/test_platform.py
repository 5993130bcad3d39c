"""Attacks on PID 1, the protocols, the files of an execution, and the readers of its output."""

import base64
import json
from typing import Any

import httpx
import pytest

from app.environments import ENVIRONMENTS
from app.profile import FLOOR
from tests.sandbox.attacks.carrier import carried
from tests.sandbox.conftest import MakePlatform
from tests.sandbox.processes import Platform
from tests.waiting import until

KILL_PID_1 = """
import os, signal, time
for number in sorted(signal.valid_signals() - {signal.SIGINT, signal.SIGTERM}):
    for target in (1, os.getppid()) if os.getpid() != 1 else ():
        try: os.kill(target, number)
        except OSError: pass
time.sleep(0.3)
print("still here", flush=True)
os.kill(1, signal.SIGTERM)
time.sleep(5)
"""


@pytest.mark.parametrize("environment", ["python", "bash"])
def test_signals_to_pid_1(platform: Platform, environment: str, runtime: str) -> None:
    """No signal from the code ends or stops PID 1, which passes two of them on to the code.

    In bash the parent process is the code's own shell. In gVisor code can kill PID 1, and thereby its own sandbox.
    """
    answer = platform.run(environment, carried(environment, KILL_PID_1).replace(", os.getppid()", ","))
    ends = ("killed", None, "") if runtime == "runsc" else ("error", "SIGTERM", "still here\n")
    assert (answer["status"], answer["signal"], answer["stdout"]) == ends


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_killed_pid_1_ends_only_its_own_sandbox(platform: Platform, environment: str) -> None:
    """The answer comes in time, with any status, and the platform stays healthy."""
    answer = platform.run(environment, carried(environment, KILL_PID_1), timeout=5)
    assert answer["status"] in {"success", "error", "killed", "timeout"}


FORGE = """
import os, stat, struct, sys
told = struct.pack("i", TOLD)
for number in range(3, 256):
    try:
        if stat.S_ISREG(os.fstat(number).st_mode): continue
        os.write(number, told)
    except OSError:
        pass
for name in ("0", "1", "2", "3", "4", "5"):
    try:
        with open(f"/proc/1/fd/{name}", "wb", 0) as stream: stream.write(told)
    except OSError:
        pass
print("forged")
sys.exit(3)
"""


STOPPED = 0x7F
"""The wait status of a process that has not ended."""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_wait_status_that_pid_1_tells_cannot_be_forged(platform: Platform, environment: str, runtime: str) -> None:
    """In gVisor code can write to the descriptors of PID 1: it can have any end, as it can by exiting, but no other."""
    ends = []
    itself = ".exit 3\n" if environment == "sqlite" else ""
    for told in (0, STOPPED):
        answer = platform.run(environment, carried(environment, FORGE.replace("TOLD", str(told))) + itself)
        ends.append((answer["status"], answer["exit_code"]))
        assert answer["stdout"].endswith("forged\n")
    expected = [("success", 0), ("killed", None)] if runtime == "runsc" else [("error", 3)] * 2
    assert ends == expected


HOSTILE_RESULTS = """
import os, socket
os.makedirs("/tmp/results", exist_ok=True)
os.chdir("/tmp/results")
with open("good.txt", "w") as file: file.write("good")
os.symlink("/etc/passwd", "link")
os.symlink("/proc/self/environ", "environ")
os.symlink("/proc/1/mem", "memory")
os.symlink("/dev/zero", "endless")
os.symlink("link", "twice")
os.symlink("loop", "loop")
os.mkfifo("pipe")
os.mkdir("folder")
with open("/tmp/elsewhere", "w") as file: file.write("outside")
os.link("/tmp/elsewhere", "hard")
with open("huge", "wb") as file: file.truncate(40 * 2**20)
socket.socket(socket.AF_UNIX).bind("socket")
for name in ("new\\nline", "\\x1b[2J", "..."):
    with open(name, "w") as file: file.write("odd")
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_only_regular_files_are_results(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, carried(environment, HOSTILE_RESULTS), results=["*"], timeout=10)
    assert answer["status"] == "success"
    files = {file["name"]: base64.b64decode(file["content"]) for file in answer["files"]}
    assert files.pop("good.txt") == b"good"
    assert files.keys() <= {"hard", "new\nline", "\x1b[2J", "..."}
    assert all(content in {b"outside", b"odd"} for content in files.values())
    assert any("huge" in warning for warning in answer["warnings"])


RESULTS_ELSEWHERE = """
import os
os.makedirs("/tmp/real", exist_ok=True)
with open("/tmp/real/passwd", "w") as file: file.write("x")
try: os.rmdir("/tmp/results")
except OSError: pass
os.symlink("/etc", "/tmp/results")
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_results_folder_that_is_a_link_gives_no_results(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, carried(environment, RESULTS_ELSEWHERE), results=["*", "passwd"])
    assert (answer["status"], answer["files"]) == ("success", [])


def test_results_with_traversal_are_refused(platform: Platform) -> None:
    for name in ("../x", "/etc/passwd", "a/../../x", "..", "a/b", "a\0b", "*/x", "x" * 5000):
        refused = platform.post("python", "print()", results=[name])
        assert (refused.status_code, refused.headers["content-type"]) == (422, "application/problem+json"), name


NAMES = (
    *("../x.py", "/etc/passwd", "/tmp/x", "a/../../x", "..", ".", "", "a//b", "./a", "a/.", "a/", "a\0b", "a\nb"),
    *("x" * 5000, "~/x", "\x1b[2J", "/proc/1/mem", "..\\x", "\ud800"),
)


def test_names_with_traversal_in_files(platform: Platform) -> None:
    """Such a name is refused, or names a file in the sandbox's folder. It never causes an error of the platform."""
    code = "import os; print(os.path.exists('/x.py'), sorted(os.listdir('/tmp')) != [])"
    for name in NAMES:
        files = [{"name": "main.py", "content": code}, {"name": name, "content": "harm"}]
        body = json.dumps({"environment": "python", "files": files})
        answer = httpx.post(
            f"{platform.url}/execute", content=body, headers={"Content-Type": "application/json"}, timeout=60
        )
        if name in {"~/x", "..\\x", "\x1b[2J"} and answer.status_code == 200:
            assert answer.json()["stdout"] == "False True\n", name
        else:
            assert answer.status_code in {400, 422}, (name, answer.text)
            assert answer.headers["content-type"] == "application/problem+json", name


ESCAPES = "\x1b[2J\x1b]0;title\x07\x1b[31m\x1b[?1049h\x9b31m\u202e\ufeff\0\x7f\b\r"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_terminal_escapes_arrive_as_data(platform: Platform, environment: str) -> None:
    """Control characters are escaped in the JSON, so that a terminal or a log that shows the raw answer is safe."""
    attack = f"import sys\nsys.stdout.buffer.write({ESCAPES!r}.encode())"
    response = platform.post(environment, carried(environment, attack))
    assert response.json()["stdout"] == ESCAPES
    assert not set(response.content) & set(range(32))


INVALID = b"\xff\xfe\xc0\x80\xed\xa0\x80\xf5\x80\x80\x80\xe2\x82A\xf0\x9f\x98"


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_output_that_is_not_utf8(platform: Platform, environment: str) -> None:
    answer = platform.run(environment, carried(environment, f"import os\nos.write(1, {INVALID!r})\nos.write(2, b'ok')"))
    assert answer["stdout"] == INVALID.decode(errors="replace")
    assert (answer["status"], answer["stderr"]) == ("success", "ok")


FORBIDDEN = {
    "image": "alpine",
    "mounts": ["/:/host"],
    "volumes": {"/": "/host"},
    "privileged": True,
    "network": "host",
    "user": "0:0",
    "cap_add": ["ALL"],
    "security_opt": ["seccomp=unconfined"],
    "runtime": "runc",
    "memory_mb": FLOOR.memory_mb * 2,
    "pids": 1000,
    "cpus": 8,
    "output_kb": 10**6,
    "profile": {"network": "host"},
    "limits": {"timeout_seconds": 999},
    "env": {"LD_PRELOAD": "/tmp/x"},
    "entrypoint": ["sh"],
    "labels": {},
}


def test_the_executor_takes_no_image_mount_flag_or_limit(make_platform: MakePlatform) -> None:
    """Asked directly, without the api, the executor refuses every forbidden key and a timeout above the profile's."""
    platform = make_platform()
    platform.executor.start()
    socket = platform.executor.socket
    with httpx.Client(transport=httpx.HTTPTransport(uds=str(socket)), base_url="http://executor", timeout=30) as client:

        def ready() -> bool:
            try:
                return client.get("/health").status_code == 200
            except httpx.TransportError:
                return False

        until(ready, 60, "the executor")

        def answer(**more: Any) -> httpx.Response:
            return client.post("/execute", json={"environment": "python", "code": "print(1)", **more})

        assert answer().json()["stdout"] == "1\n"
        for key, value in FORBIDDEN.items():
            refused = answer(**{key: value})
            assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), key
            assert key in refused.json()["detail"]
        for timeout in (FLOOR.timeout_seconds + 0.001, 1e9):
            assert answer(timeout=timeout).json()["code"] == "timeout_too_long"
        for environment in ("alpine", "sha256:abc", "../python", "PYTHON", ""):
            assert answer(environment=environment).status_code in {400, 422}


def test_the_api_takes_no_image_mount_flag_or_limit(platform: Platform) -> None:
    for key, value in FORBIDDEN.items():
        refused = platform.post("python", "print(1)", **{key: value})
        assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request"), key
