"""Programs run by the plain interpreter: in a container of their environment's image, without the executor."""

import os
import signal
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from app.environments import ENVIRONMENTS, VARIANTS
from app.executor.bundle import COMMON
from app.profile import FLOOR
from app.wire.protocol import RESULTS, Execution
from tools.machine import docker_engine

NAMED = {**ENVIRONMENTS, **VARIANTS}
"""Each environment and variant, by its name."""
_USER = 1000
_SECONDS = 600
_DRIVER = Path(__file__).with_suffix(".pl")


@dataclass(frozen=True)
class Ended:
    """How a program ended. `files` are those that it left in its folder `results`."""

    stdout: str
    stderr: str
    exit_code: int
    signal: str | None
    files: dict[str, bytes]


def run_all(image: str, executions: Mapping[str, Execution], folder: Path) -> Mapping[str, Ended]:
    """Run each in an empty /tmp. All have one home. `folder` is new, and is shared with the container."""
    (home,) = {execution.home for execution in executions.values()}
    variables = [f"{name}={value}" for name, value in ENVIRONMENTS[home].variables.items()]
    folder.chmod(0o755)
    folders = {name: folder / str(number) for number, name in enumerate(executions)}
    for name, execution in executions.items():
        _write(execution, folders[name])
    docker_cli = ("docker", "-H", docker_engine.configured_url(), "run", "--rm", "--init")
    inside = [f"/programs/{place.name}" for place in folders.values()]
    options = (
        # What differs from a plain `docker run` is what code can see of any machine.
        *("--network=none", "--read-only", "--hostname=sandbox", f"--user={_USER}:{_USER}"),
        *(f"--env={variable}" for variable in (*COMMON["process"]["env"], *variables)),
        *(f"--tmpfs=/tmp:noexec,nosuid,nodev,mode=1777,size={FLOOR.tmp_mb}m", "--shm-size=16m"),
        *(f"--volume={folder}:/programs", f"--volume={_DRIVER}:/driver:ro", "--entrypoint=perl"),
    )
    subprocess.run([*docker_cli, *options, image, "/driver", *inside], check=True, timeout=_SECONDS)
    return {name: _ended(place) for name, place in folders.items()}


def _write(execution: Execution, folder: Path) -> None:
    (folder / "files").mkdir(parents=True)
    for name, content in execution.sources.items():
        (folder / "files" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "files" / name).write_bytes(content)
    if execution.results is not None:
        (folder / "files" / RESULTS).mkdir(exist_ok=True)
    (folder / "stdin").write_text(execution.stdin)
    command = NAMED[execution.environment].command(execution.main_file, execution.args, FLOOR.memory_mb)
    # Without what Node loads ahead, of which a program notices nothing.
    (folder / "command").write_text("".join(f"{word}\0" for word in command if not word.startswith("--require=")))
    folder.chmod(0o777)


def _ended(folder: Path) -> Ended:
    code = os.waitstatus_to_exitcode(int((folder / "status").read_text()))
    return Ended(
        stdout=(folder / "stdout").read_bytes().decode(errors="replace"),
        stderr=(folder / "stderr").read_bytes().decode(errors="replace"),
        exit_code=code if code >= 0 else 128 - code,
        signal=None if code >= 0 else _name(-code),
        files={file.name: file.read_bytes() for file in (folder / RESULTS).glob("*") if file.is_file()},
    )


def _name(number: int) -> str:
    return signal.Signals(number).name if number in signal.valid_signals() & set(signal.Signals) else f"SIG{number}"
