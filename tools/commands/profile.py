"""`make profile SERVICE=api SECONDS=30`: a flame graph of what a running process of ours spends its time on.

py-spy reads the process's memory from outside, as root of the host: the container gets no right that it lacks, and
nothing is written into it. On a server the program is sent over SSH, and removed again.
"""

import argparse
import os
import re
import shlex
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.host import ssh
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.paths import HOME, private_folder
from tools.stack import health, target
from tools.stack.config import LOCAL

MOST_SECONDS = 600
_PROGRAM = Path(sys.executable).with_name("py-spy")
_OURS = re.compile(r"python\S* -m app\.(?!executor\.launcher)")
# Its input is py-spy, its output the picture. Not in /run, which may be mounted noexec.
_SCRIPT = """
set -eu
tr '\\0' ' ' < /proc/{pid}/cmdline | grep -q -- '-m app[.]'
folder=$(mktemp -d /var/tmp/profile-XXXXXX)
trap 'rm -rf "$folder"' EXIT
cat > "$folder/py-spy"
chmod 700 "$folder/py-spy"
"$folder/py-spy" record --pid {pid} --duration {seconds} --output "$folder/flame.svg" >&2
cat "$folder/flame.svg"
"""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)
    parser.add_argument("--service", required=True)
    parser.add_argument("--seconds", type=int, default=30)


def run(options: argparse.Namespace, runner: Runner) -> None:
    if not 1 <= options.seconds <= MOST_SECONDS:
        raise StepFailed(f"SECONDS is {options.seconds}.", f"Name 1 to {MOST_SECONDS} seconds.")
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    file = private_folder(HOME / "profiles") / f"{options.stack}-{options.service}-{moment}.svg"

    def profile(report: Report) -> str:
        settings = target.settings(options.stack)
        with target.docker(settings, report) as engine:
            client = engine.client()
            found = {it.service: it.container for it in health.services(client, settings.name)}
            if options.service not in found:
                raise StepFailed(f"There is no service {options.service}.", f"The services are: {', '.join(found)}.")
            pid = process_of(client.containers.get(found[options.service]))
        script = _SCRIPT.format(pid=pid, seconds=options.seconds)
        as_root = () if os.geteuid() == 0 else ("sudo", "-n")
        here = [*as_root, "sh", "-c", script]
        argv = ssh.arguments(settings.host.ssh, "sh", "-c", script) if settings.host else here
        file.write_bytes(_picture(argv, report))
        return str(file)

    runner.run([Step("Profile", profile)])


def process_of(container: Any) -> int:
    """The id, on Docker's host, of the container's process that runs our code: its first one, or the child of that.

    No other process will do: those of sandboxes run what visitors sent.

    Raises:
        StepFailed: it is none of our own programs.
    """
    first = int(container.attrs["State"]["Pid"])
    for pid, parent, command in container.top(ps_args="-eo pid,ppid,args")["Processes"]:
        if first in (int(pid), int(parent)) and _OURS.search(command):
            return int(pid)
    raise StepFailed(
        f"{container.name} runs no Python of ours.", "api, executor and container-exporter can be profiled."
    )


def _picture(argv: list[str], report: Report) -> bytes:
    with _PROGRAM.open("rb") as program:
        done = subprocess.run(argv, stdin=program, capture_output=True, check=False)
    report.write(done.stderr.decode(errors="replace"))
    if b"No stack counts found" in done.stderr:
        raise StepFailed("It had nothing to do in that time.", "Send it requests meanwhile, or name more SECONDS.")
    if done.returncode:
        raise StepFailed(
            f"`{shlex.join(argv[:2])} ...` could not read the process.",
            "It needs root on Docker's host, which must be this machine or the server of the stack: run `sudo -v` "
            "first. With kernel.yama.ptrace_scope=3 nobody may; Docker Desktop's processes are in a virtual machine.",
            report.log,
        )
    return done.stdout
