"""The Docker engine that the platform runs on: found where the user's own settings point, else installed and started.

Where an init system runs, it starts the engine. Elsewhere (a container, a minimal machine) `dockerd` becomes a daemon
of its own, with its log and its process id in the cache; `stop` ends only such a one.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.context import ContextAPI

from tools.console.steps import Report, StepFailed
from tools.machine import debian, process
from tools.paths import cache

DEFAULT_URL = "unix:///var/run/docker.sock"
FAST_RUNTIME = "crun"
"""An OCI runtime in C. A sandbox costs a tenth less CPU with it than with runc, which is written in Go."""
_UNIFIED = Path("/sys/fs/cgroup/unified")
_RUN = Path("/run")
_IN_MEMORY = "vps-engine"
"""What is said to be mounted, where we have mounted memory."""
_SHIM = "containerd-shim"
"""What the kernel calls the process that holds a container, whose name is longer than the kernel keeps."""
_SECONDS_TO_START = 60
_SECONDS_TO_ANSWER = 10


@dataclass(frozen=True)
class DockerEngine:
    """An engine that answers at `url`."""

    url: str

    def client(self, timeout_seconds: float = 60) -> docker.DockerClient:
        """A new client; several threads may share one."""
        return _client(self.url, timeout_seconds)

    @property
    def socket(self) -> Path | None:
        """The engine's socket on this machine; none for an engine that is reached over a network."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None

    def socket_on_its_host(self) -> str:
        """Where a container finds the socket. Docker Desktop's engine is in a machine of its own, with the default."""
        desktop = self.client().info()["OperatingSystem"] == "Docker Desktop"
        return str(self.socket) if self.socket and not desktop else DEFAULT_URL.removeprefix("unix://")

    def version(self) -> str:
        """Such as `20.10.24`."""
        return str(self.client().version()["Version"])

    def architecture(self) -> str:
        """In Debian's and Go's words: `amd64`, `arm64`."""
        return str(self.client().version()["Arch"])

    def runtime(self) -> str:
        """The fastest that it knows of those that a sandbox may have."""
        return FAST_RUNTIME if FAST_RUNTIME in self.client().info()["Runtimes"] else "runc"


def configured_url() -> str:
    """Where the user's engine is: DOCKER_HOST, else the current docker context, else the default socket."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    return str(context.Host) if context and context.Host else DEFAULT_URL


def find(url: str) -> DockerEngine | None:
    """The engine at `url`, or None when nothing answers there.

    Raises:
        StepFailed: something is there, and we may not use it.
    """
    engine = DockerEngine(url)
    if engine.socket and engine.socket.exists() and not os.access(engine.socket, os.R_OK | os.W_OK):
        raise StepFailed(
            f"This user is not permitted to use the Docker engine at {engine.socket}.",
            'Add yourself to its group (sudo usermod -aG docker "$USER", then log in again), or run this as root.',
        )
    try:
        engine.client(_SECONDS_TO_ANSWER).ping()
    except (docker.errors.DockerException, OSError):
        return None
    return engine


def ensure(report: Report) -> DockerEngine:
    """An engine that answers: the configured one, else one that is installed and started here.

    Raises:
        StepFailed: there is none, and none can be started by us. `fix` says what to install or to start.
    """
    url = configured_url()
    if engine := find(url):
        return engine
    if url != DEFAULT_URL:
        raise StepFailed(
            f"No Docker engine answers at {url}, where DOCKER_HOST or the docker context points.",
            "Start it, or unset DOCKER_HOST and run `docker context use default`.",
        )
    if not sys.platform.startswith("linux"):
        raise StepFailed("No Docker engine answers.", "Install and start Docker Desktop, then run this again.")
    if not shutil.which("dockerd", path=_path()):
        if not debian.may_install():
            raise StepFailed(
                "There is no Docker engine, and this machine is not ours to change (not Debian, or not root).",
                "Install Docker Engine with your system's package manager, start it, then run this again.",
            )
        debian.install(["docker.io", FAST_RUNTIME], report)
    if os.geteuid() != 0:
        raise StepFailed(
            "The Docker engine is installed and does not run.", "Start it: sudo systemctl start docker (or its like)."
        )
    # Installing the package may have started it already.
    return find(url) or start(url, report)


def start(url: str, report: Report, daemon: Sequence[str] = ("dockerd",)) -> DockerEngine:
    """Start the installed engine so that it answers at `url`: by the init system, else as a daemon of our own.

    Raises:
        StepFailed: it ended at once, or did not answer in time.
    """
    manager = _init_system()
    report.say(f"starting the engine {'with ' + manager[0] if manager else 'as a daemon'}")
    if manager:
        try:
            process.run(manager, report)
        except process.CommandFailed as error:
            fix = "See to what it says; `journalctl -u docker` may tell more."
            raise StepFailed("The Docker engine does not start.", fix, report.log) from error
        return wait(url, report.log, lambda: False)
    _keep_state_in_memory(report)
    log, pid_file = daemon_log(), _pid_file()
    pid_file.unlink(missing_ok=True)
    with log.open("wb") as sink:
        running = subprocess.Popen(
            [*_in_plain_cgroups(), *daemon, "--host", url, "--pidfile", str(pid_file), *_runtimes()],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, "PATH": _path()},
        )
    return wait(url, log, lambda: running.poll() is not None)


def _runtimes() -> list[str]:
    path = shutil.which(FAST_RUNTIME, path=_path())
    return [f"--add-runtime={FAST_RUNTIME}={path}"] if path else []


def _in_plain_cgroups() -> list[str]:
    """The start of a command line under which cgroup v1 is not mixed with v2, which crun refuses.

    A mount namespace hides the mount of v2, where nothing is limited, from the daemon and from nobody else.
    """
    if not _UNIFIED.is_mount():
        return []
    hide = f'umount {_UNIFIED} && exec "$@"'
    return ["unshare", "--mount", "--propagation=slave", "sh", "-c", hide, "sh"]


def _keep_state_in_memory(report: Report) -> None:
    """Give the engine's state of running containers the memory file system that /run is on a machine with an init.

    A container makes and removes a dozen files there, which cost it a fifteenth of its processor time on a disk. The
    state of containers that have outlived their engine is left where the next one finds it.
    """
    state = _RUN / "docker"
    if _RUN.is_mount() or state.is_mount() or process.named(_SHIM):
        return
    state.mkdir(mode=0o711, exist_ok=True)
    with contextlib.suppress(process.CommandFailed):  # then it is slower
        process.run(["mount", "-t", "tmpfs", "-o", "mode=711,nosuid,nodev,noexec", _IN_MEMORY, str(state)], report)


def _give_memory_back(report: Report) -> None:
    state = _RUN / "docker"
    if f"{_IN_MEMORY} {state} " in Path("/proc/mounts").read_text():
        with contextlib.suppress(process.CommandFailed):  # a container has outlived its engine
            process.run(["umount", str(state)], report)


def daemon_log() -> Path:
    """The log of a daemon that `start` made."""
    return _daemon_folder() / "dockerd.log"


def daemon_pid() -> int | None:
    """The process id of a daemon that `start` made and that is alive."""
    try:
        pid = int(_pid_file().read_text())
    except (OSError, ValueError):
        return None
    return pid if process.name(pid) == "dockerd" else None


def stop(report: Report) -> str:
    """Stop the daemon that `start` made; an engine that someone else started is left alone."""
    pid = daemon_pid()
    if pid is None:
        return "the engine was not started by make up, and is left alone"
    report.say(f"stopping dockerd, process {pid}")
    os.kill(pid, 15)
    deadline = time.monotonic() + _SECONDS_TO_START
    while process.name(pid) == "dockerd":  # it removes its file of the process id before it ends
        if time.monotonic() > deadline:
            raise StepFailed(f"dockerd (process {pid}) does not end.", f"End it: kill -9 {pid}", daemon_log())
        time.sleep(0.2)
    _give_memory_back(report)
    return f"stopped dockerd, process {pid}"


def _client(url: str, timeout_seconds: float) -> docker.DockerClient:
    timeout = int(timeout_seconds)
    if os.environ.get("DOCKER_HOST") == url:  # its certificates are named by the environment too
        return docker.from_env(timeout=timeout, use_ssh_client=True)
    return docker.DockerClient(base_url=url, timeout=timeout, use_ssh_client=True)


def wait(url: str, log: Path, ended: Callable[[], bool]) -> DockerEngine:
    """Wait for an engine that was just started.

    Raises:
        StepFailed: it does not answer in time, or `ended` says that it never will.
    """
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        if engine := find(url):
            return engine
        if ended():
            break
        time.sleep(0.2)
    raise StepFailed(
        "The Docker engine was started and does not answer.",
        "The log says why. In a container it needs --privileged; else start an engine elsewhere and set DOCKER_HOST.",
        log,
    )


def _init_system() -> tuple[str, ...] | None:
    if Path("/run/systemd/system").exists():
        return ("systemctl", "start", "docker")
    if Path("/proc/1/comm").read_text().strip() == "init" and shutil.which("service"):
        return ("service", "docker", "start")
    return None


def _path() -> str:
    """PATH, with the folders of system programs that a plain user's PATH may lack."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def _daemon_folder() -> Path:
    folder = cache() / "dockerd"
    folder.mkdir(exist_ok=True)
    return folder


def _pid_file() -> Path:
    return _daemon_folder() / "dockerd.pid"
