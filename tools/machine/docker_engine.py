"""The Docker that the platform runs on: found where the user's settings point, else installed and started.

An init system starts it where one runs. Elsewhere (in a container, on a minimal machine) `dockerd` is started as a
daemon, with its log and its process id in the cache; `stop` ends only a daemon that was started that way.
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

from app.executor import apparmor
from tools.console.steps import Report, StepFailed
from tools.machine import debian, process
from tools.paths import cache

DEFAULT_URL = "unix:///var/run/docker.sock"
_RUN = Path("/run")
_ROOTS_DOCKER = "Use a Docker that runs as root, without userns-remap: docs/GETTING_STARTED.md has the reasons."
_UNFIT = {
    "name=rootless": "Docker is rootless, and has neither devices nor further user ids to give to the executor.",
    "name=userns": "Docker remaps user namespaces (userns-remap), and has no further user ids to give to the executor.",
    "windows": "Docker runs Windows containers. Switch it to Linux containers.",
    "Podman Engine": "This is Podman, which takes a container's seccomp profile for the name of a file.",
}
"""Why a Docker can't run the executor: by a security option, an operating system, or a component of its version."""
_IN_MEMORY = "vps-engine"
"""The device name of the tmpfs that is mounted here, by which it is recognised."""
_SHIM = "containerd-shim"
"""The name of the process that holds a container, cut to the 15 characters that the kernel keeps."""
_SECONDS_TO_START = 60
_SECONDS_TO_ANSWER = 10


@dataclass(frozen=True)
class DockerEngine:
    """A Docker that answers at `url`."""

    url: str

    def client(self, timeout_seconds: float = 60) -> docker.DockerClient:
        """A new client. Threads may share it."""
        timeout = int(timeout_seconds)
        if os.environ.get("DOCKER_HOST") == self.url:  # the environment names its certificates too
            return docker.from_env(timeout=timeout, use_ssh_client=True)
        return docker.DockerClient(base_url=self.url, timeout=timeout, use_ssh_client=True)

    @property
    def socket(self) -> Path | None:
        """Docker's socket on this machine; None for a Docker that is reached over a network."""
        return Path(self.url.removeprefix("unix://")) if self.url.startswith("unix://") else None

    def socket_on_its_host(self) -> str:
        """The path at which a container can mount the socket.

        Docker Desktop runs in a virtual machine, where the socket has the default path.
        """
        desktop = self.system() == "Docker Desktop"
        return str(self.socket) if self.socket and not desktop else DEFAULT_URL.removeprefix("unix://")

    def version(self) -> str:
        """The version, for example `20.10.24`."""
        return str(self.client().version()["Version"])

    def system(self) -> str:
        """The operating system that its containers run on, for example `Debian GNU/Linux 12 (bookworm)`."""
        return str(self.client().info()["OperatingSystem"])

    def architecture(self) -> str:
        """The architecture as Debian and Go name it: `amd64`, `arm64`."""
        return str(self.client().version()["Arch"])

    def cgroup_version(self) -> int:
        """The version of the control groups of its host, 1 or 2."""
        return int(self.client().info()["CgroupVersion"])

    def apparmor(self, image: str) -> bool:
        """Whether its host has AppArmor, with the profile of the executor: a container of `image` starts under it."""
        client = self.client()
        if "name=apparmor" not in client.info()["SecurityOptions"]:
            return False
        option = [f"apparmor={apparmor.EXECUTOR}"]
        trial = client.containers.create(image, entrypoint="true", network_mode="none", security_opt=option)
        try:
            trial.start()
        except docker.errors.APIError:
            return False
        finally:
            trial.remove(force=True)
        return True

    def processors(self) -> int:
        """How many processors its containers can use."""
        return int(self.client().info()["NCPU"])


def configured_url() -> str:
    """The URL of the user's Docker: DOCKER_HOST, else the current Docker context, else the default socket."""
    if host := os.environ.get("DOCKER_HOST"):
        return host
    context = ContextAPI.get_context(os.environ.get("DOCKER_CONTEXT"))
    return str(context.Host) if context and context.Host else DEFAULT_URL


def find(url: str) -> DockerEngine | None:
    """The Docker at `url`, or None when nothing answers there.

    Raises:
        StepFailed: there is a socket, and this user has no permission to use it.
    """
    engine = DockerEngine(url)
    if engine.socket and engine.socket.exists() and not os.access(engine.socket, os.R_OK | os.W_OK):
        raise StepFailed(
            f"This user has no permission to use Docker at {engine.socket}.",
            'Add yourself to its group (sudo usermod -aG docker "$USER", then log in again), or run this as root.',
        )
    try:
        engine.client(_SECONDS_TO_ANSWER).ping()
    except (docker.errors.DockerException, OSError):
        return None
    return engine


def ensure(report: Report) -> DockerEngine:
    """A Docker that answers: the configured one, else one that is installed and started here.

    Raises:
        StepFailed: none answers and none can be started, or the configured one can't run the executor. `fix` says what
            to install, to start or to use instead.
    """
    url = configured_url()
    if engine := find(url):
        _check_fitness(engine)
        return engine
    if url != DEFAULT_URL:
        raise StepFailed(
            f"No Docker answers at {url}, where DOCKER_HOST or the Docker context points.",
            "Start it, or unset DOCKER_HOST and run `docker context use default`.",
        )
    if not sys.platform.startswith("linux"):
        raise StepFailed("No Docker answers.", "Install and start Docker Desktop, then run this again.")
    if not shutil.which("dockerd", path=_path()):
        if not debian.may_install():
            raise StepFailed(
                "Docker is not installed, and it can be installed here only on Debian or Ubuntu, as root.",
                "Install Docker Engine with your system's package manager, start it, then run this again.",
            )
        debian.install(["docker.io"], report)
    if os.geteuid() != 0:
        raise StepFailed(
            "Docker is installed and does not run.", "Start it: sudo systemctl start docker (or its like)."
        )
    # Installing the package may have started it already.
    return find(url) or start(url, report)


def _check_fitness(engine: DockerEngine) -> None:
    """Refuse a Docker in whose containers the executor can't hold its sandboxes."""
    info, version = engine.client().info(), engine.client().version()
    found = [*info["SecurityOptions"], info["OSType"], *(part["Name"] for part in version.get("Components", ()))]
    if reasons := [_UNFIT[name] for name in found if name in _UNFIT]:
        raise StepFailed(" ".join(reasons), _ROOTS_DOCKER)


def start(url: str, report: Report, daemon: Sequence[str] = ("dockerd",)) -> DockerEngine:
    """Start the installed Docker so that it answers at `url`: by the init system, else as a daemon.

    Raises:
        StepFailed: it ended, or did not answer within 60 seconds.
    """
    manager = _init_system()
    report.say(f"starting Docker {'with ' + manager[0] if manager else 'as a daemon'}")
    if manager:
        fix = "Fix what the log reports; `journalctl -u docker` may say more."
        with process.explained("Docker does not start.", fix, report):
            process.run(manager, report)
        return wait(url, report.log, lambda: False)
    _keep_state_in_memory(report)
    log, pid_file = daemon_log(), _pid_file()
    pid_file.unlink(missing_ok=True)
    with log.open("wb") as sink:
        running = subprocess.Popen(
            [*daemon, "--host", url, "--pidfile", str(pid_file)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=sink,
            start_new_session=True,
            env={**os.environ, "PATH": _path()},
        )
    return wait(url, log, lambda: running.poll() is not None)


def _keep_state_in_memory(report: Report) -> None:
    """Mount a tmpfs for Docker's state of running containers, as /run is one on a machine with an init system.

    Each container creates and removes a dozen files there; on a disk that takes 7% of a container's CPU time.
    Nothing is mounted while containers of an earlier daemon run, because the next daemon must find their state.
    """
    state = _RUN / "docker"
    if _RUN.is_mount() or state.is_mount() or process.named(_SHIM):
        return
    state.mkdir(mode=0o711, exist_ok=True)
    with contextlib.suppress(process.CommandFailed):  # without it, containers are slower
        process.run(["mount", "-t", "tmpfs", "-o", "mode=711,nosuid,nodev,noexec", _IN_MEMORY, str(state)], report)


def _unmount_state(report: Report) -> None:
    state = _RUN / "docker"
    if f"{_IN_MEMORY} {state} " in Path("/proc/mounts").read_text():
        with contextlib.suppress(process.CommandFailed):  # in use: a container still runs
            process.run(["umount", str(state)], report)


def daemon_log() -> Path:
    """The log of the daemon that `start` started."""
    return _daemon_folder() / "dockerd.log"


def daemon_pid() -> int | None:
    """The process id of the daemon that `start` started, while it runs."""
    try:
        pid = int(_pid_file().read_text())
    except (OSError, ValueError):
        return None
    return pid if process.name(pid) == "dockerd" else None


def stop(report: Report) -> str:
    """Stop the daemon that `start` started, and no other.

    Raises:
        StepFailed: it still runs after 60 seconds.
    """
    pid = daemon_pid()
    if pid is None:
        return "Docker was not started by make up, and is left alone"
    report.say(f"stopping dockerd, process {pid}")
    os.kill(pid, 15)
    deadline = time.monotonic() + _SECONDS_TO_START
    while process.name(pid) == "dockerd":  # it removes its file of the process id before it ends
        if time.monotonic() > deadline:
            raise StepFailed(f"dockerd (process {pid}) does not end.", f"End it: kill -9 {pid}", daemon_log())
        time.sleep(0.2)
    _unmount_state(report)
    return f"stopped dockerd, process {pid}"


def wait(url: str, log: Path, ended: Callable[[], bool]) -> DockerEngine:
    """Wait for a Docker that was just started.

    Raises:
        StepFailed: it does not answer within 60 seconds, or `ended` returns true.
    """
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        if engine := find(url):
            return engine
        if ended():
            break
        time.sleep(0.2)
    raise StepFailed(
        "Docker was started and does not answer.",
        "The log says why. In a container it needs --privileged; or start Docker elsewhere and set DOCKER_HOST.",
        log,
    )


def _init_system() -> tuple[str, ...] | None:
    if Path("/run/systemd/system").exists():
        return ("systemctl", "start", "docker")
    if Path("/proc/1/comm").read_text().strip() == "init" and shutil.which("service"):
        return ("service", "docker", "start")
    return None


def _path() -> str:
    """PATH with the folders of system programs, which an ordinary user's PATH may lack."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/local/sbin:/usr/sbin:/sbin"


def _daemon_folder() -> Path:
    folder = cache() / "dockerd"
    folder.mkdir(exist_ok=True)
    return folder


def _pid_file() -> Path:
    return _daemon_folder() / "dockerd.pid"
