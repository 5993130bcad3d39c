"""The ways to run a hello that are compared: requests to the platform, Docker, nsjail and go-judge."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from app.profile import FLOOR
from offline.programs import GO_JUDGE
from tools.build.images import compiled
from tools.console.steps import Report
from tools.machine import process
from tools.machine.ports import free_port
from tools.measure.bench.client import Client, Lost, tcp
from tools.paths import cache

HELLO: Mapping[str, tuple[str, ...]] = {
    "python": ("/usr/bin/python3", "-u", "-c", 'print("hello")'),
    "node": ("node", "-e", 'console.log("hello")'),
    "bash": ("/usr/bin/bash", "-c", "echo hello"),
}
"""The command of a hello, by environment. Its last argument is the code."""
COMPARED = "python"
"""The environment in which the ways are compared."""
WAITING, TO_ORDER = "edge", "edge, made to order"
"""The ways through the edge: to a sandbox that waits, and to one that is made for the request."""
CAPTION = (
    "docker run has the profile's limits as flags, and Docker's defaults otherwise. nsjail and go-judge run on the "
    "host itself, without a container around them, on a copy of the executor's root file system, with the profile's "
    "limits and no seccomp filter. nsjail makes a jail for each hello; go-judge uses its containers again and again."
)
_SAID = "hello\n"
_SECONDS = 60
_MB = 1024 * 1024
_USER = 1000
_ENVIRON = ("PATH=/usr/local/bin:/usr/bin:/bin", "HOME=/tmp", "LANG=C.UTF-8")
_TMP = f"size={FLOOR.tmp_mb}m,mode=1777"
_LOCK = Path(__file__).with_name("requirements.txt")


class Unanswered(Exception):
    """A hello had another output. The message tells which."""


class Way(Protocol):
    """Runs a hello."""

    @property
    def name(self) -> str:
        """Its name in the tables."""

    def hello(self, environment: str) -> None:
        """Run a hello and compare its output.

        Raises:
            Unanswered: the output is wrong.
            Lost: there was no answer.
        """


@dataclass(frozen=True)
class Requested:
    """A request to the platform. With `args`, no sandbox that waits can run it: one is made to order."""

    name: str
    client: Client
    args: tuple[str, ...] = ()

    def hello(self, environment: str) -> None:
        """See `Way`."""
        body: dict[str, object] = {"environment": environment, "code": HELLO[environment][-1], "args": self.args}
        answer = self.client.execute(body)
        if answer.status != 200 or answer.content["stdout"] != _SAID:
            raise Unanswered(f"{self.name} answers {answer.status}: {answer.body.decode(errors='replace')[:300]}")


@dataclass(frozen=True)
class Command:
    """A command line that runs one hello of `COMPARED`."""

    name: str
    arguments: tuple[str, ...]

    def hello(self, environment: str) -> None:
        """See `Way`."""
        done = subprocess.run(self.arguments, capture_output=True, text=True, timeout=_SECONDS, check=False)
        if done.returncode or done.stdout != _SAID:
            raise Unanswered(f"{self.name} ended with {done.returncode}: {(done.stderr or done.stdout)[-300:]}")


def docker_run(url: str, image: str, label: str) -> Command:
    """`docker run` on the command line, with the profile's limits."""
    program, *rest = HELLO[COMPARED]
    return Command(
        "docker run",
        (
            *("docker", f"--host={url}", "run", "--rm", f"--label={label}", f"--entrypoint={program}"),
            *("--network=none", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"),
            *(f"--pids-limit={FLOOR.pids}", f"--cpus={FLOOR.cpus}", f"--user={_USER}:{_USER}"),
            *(f"--memory={FLOOR.memory_mb}m", f"--memory-swap={FLOOR.memory_mb + FLOOR.swap_mb}m"),
            *(f"--tmpfs=/tmp:{_TMP},noexec,nosuid,nodev", image, *rest),
        ),
    )


_JAIL: tuple[tuple[str, str], ...] = (
    ("--mode=o", "one command, then the end: single use"),
    ("--really_quiet", "no log"),
    (f"--user={_USER}", "not root"),
    (f"--group={_USER}", "not root"),
    ("--hostname=sandbox", "as in a sandbox"),
    ("--cwd=/tmp", "as in a sandbox"),
    (f"--mount=none:/tmp:tmpfs:{_TMP}", "the profile's /tmp"),
    ("--nice_level=0", "its default would give way to everything else"),
    ("--rlimit_as=inf", "the control group bounds the memory"),
    (f"--rlimit_fsize={FLOOR.tmp_mb}", "the profile's"),
    (f"--time_limit={FLOOR.timeout_seconds:.0f}", "the profile's"),
    ("--detect_cgroupv2", "whichever version the host has"),
    (f"--cgroup_mem_max={FLOOR.memory_mb * _MB}", "the profile's"),
    (f"--cgroup_mem_swap_max={FLOOR.swap_mb * _MB}", "the profile's"),
    (f"--cgroup_pids_max={FLOOR.pids}", "the profile's"),
    (f"--cgroup_cpu_ms_per_sec={FLOOR.cpus * 1000:.0f}", "the profile's"),
    *((f"--env={variable}", "as in a sandbox") for variable in _ENVIRON),
)
"""Flags of nsjail, each with the reason for it."""
_JAILS = [Path("/sys/fs/cgroup", controller, "NSJAIL") for controller in ("memory", "pids", "cpu")]
"""Under version 1, nsjail makes its control groups below these."""


@contextmanager
def nsjail(root: Path, report: Report) -> Iterator[Command]:
    """Bare nsjail on a root file system, installed from the lock file beside this one. It needs root."""
    folder = cache() / "bench" / f"nsjail-{_LOCK.stat().st_mtime_ns}"
    if not folder.exists():
        pip = (sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "--target", str(folder))
        with process.explained("nsjail could not be installed.", "Fix what pip reports, then run again.", report):
            process.run([*pip, "--requirement", str(_LOCK)], report)
    jail = folder / "nsjail/bin/nsjail"
    jail.chmod(0o755)
    parents = [parent for parent in _JAILS if parent.parent.is_dir() and not parent.exists()]
    for parent in parents:
        parent.mkdir()
    try:
        flags = [flag for flag, _ in _JAIL]
        yield Command("nsjail", (str(jail), f"--chroot={root}", *flags, "--", *HELLO[COMPARED]))
    finally:
        for parent in parents:
            parent.rmdir()


@dataclass(frozen=True)
class GoJudge:
    """Requests to a go-judge."""

    client: Client
    name: str = field(default="go-judge", init=False)

    def hello(self, environment: str) -> None:
        """See `Way`."""
        command = {
            "args": HELLO[COMPARED],
            "env": _ENVIRON,
            "files": [{"content": ""}, {"name": "stdout", "max": _MB}, {"name": "stderr", "max": _MB}],
            "cpuLimit": int(FLOOR.timeout_seconds * 1e9),
            "memoryLimit": FLOOR.memory_mb * _MB,
            "procLimit": FLOOR.pids,
            "cpuRateLimit": int(FLOOR.cpus * 1000),
        }
        answer = self.client.post("/run", json.dumps({"cmd": [command]}).encode())
        if answer.status != 200 or json.loads(answer.body)[0]["files"]["stdout"] != _SAID:
            raise Unanswered(f"go-judge answers {answer.status}: {answer.body.decode(errors='replace')[:300]}")


@contextmanager
def go_judge(root: Path, clients: int, report: Report) -> Iterator[GoJudge]:
    """go-judge, compiled from its Go module, on a root file system, for so many clients at once. It needs root."""
    program = compiled().ensure(GO_JUDGE, report.log, report.say) / "go-judge"
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="vps-bench-") as folder, report.log.open("ab") as log:
        mounts = Path(folder, "mount.yaml")
        mounts.write_text(json.dumps(_mounts(root)))
        arguments = [f"-http-addr=127.0.0.1:{port}", f"-mount-conf={mounts}", f"-dir={folder}", "-silent"]
        arguments += [f"-parallelism={clients}", f"-pre-fork={clients}", "-enable-cpu-rate"]
        judge = subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=folder)
        try:
            way = GoJudge(Client(tcp("127.0.0.1", port)))
            _wait(way, judge)
            yield way
        finally:
            process.terminate(judge, _SECONDS)


def _wait(way: GoJudge, judge: "subprocess.Popen[bytes]") -> None:
    while True:
        try:
            return way.hello(COMPARED)
        except Lost:
            if judge.poll() is not None:
                raise


def _mounts(root: Path) -> dict[str, Any]:
    """The file systems of go-judge's containers."""
    folders = [name for name in ("usr", "etc") if (root / name).is_dir()]
    links = {
        f"/{name}": str((root / name).readlink()) for name in ("bin", "lib", "lib64") if (root / name).is_symlink()
    }
    return {
        "mount": [
            *({"type": "bind", "source": str(root / it), "target": f"/{it}", "readonly": True} for it in folders),
            {"type": "tmpfs", "target": "/tmp", "data": _TMP},
        ],
        "symLink": [{"linkPath": path, "target": target} for path, target in links.items()],
        "proc": True,
        "workDir": "/tmp",
        "hostName": "sandbox",
        "domainName": "sandbox",
        "uid": _USER,
        "gid": _USER,
    }
