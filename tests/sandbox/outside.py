"""A program run by the plain interpreter: in a container of its environment's image, without the executor."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from app.environments import ENVIRONMENTS
from app.executor.bundle import ENVIRON
from app.profile import FLOOR
from app.wire.protocol import RESULTS, Execution
from tools.machine import docker_engine

_USER = 1000
_SECONDS = 60


@dataclass(frozen=True)
class Ended:
    """How a program ended. `files` are those that it left in its folder `results`."""

    stdout: str
    stderr: str
    exit_code: int
    files: dict[str, bytes]


def run(image: str, execution: Execution, folder: Path) -> Ended:
    """Run it with `folder`, which is new, as its /tmp."""
    folder.mkdir()
    folder.chmod(0o777)
    for name, content in execution.sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    if execution.results is not None:
        (folder / RESULTS).mkdir(exist_ok=True)
        (folder / RESULTS).chmod(0o777)
    environment = ENVIRONMENTS[execution.environment]
    program, *arguments = environment.command(execution.main_file, execution.args, FLOOR.memory_mb)
    ended = subprocess.run(
        [
            *("docker", "-H", docker_engine.configured_url(), "run", "--rm", "--interactive"),
            *_options(folder),
            *("--entrypoint", program, image, *arguments),
        ],
        input=execution.stdin.encode(),
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    return Ended(
        stdout=ended.stdout.decode(errors="replace"),
        stderr=ended.stderr.decode(errors="replace"),
        exit_code=ended.returncode,
        files={file.name: file.read_bytes() for file in (folder / RESULTS).glob("*") if file.is_file()},
    )


def _options(folder: Path) -> Sequence[str]:
    """What differs from a plain `docker run` is what code can see of any machine: its user, folder and environment."""
    return (
        *("--init", "--network=none", "--read-only", "--hostname=sandbox", f"--user={_USER}:{_USER}"),
        *(f"--env={variable}" for variable in ENVIRON),
        f"--volume={folder}:/tmp",
        "--workdir=/tmp",
    )
