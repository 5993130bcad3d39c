"""Prepares the container, then starts the executor in a user namespace: `python -m app.executor.launcher`.

The launcher runs as the container's root with a few capabilities, and reads nothing of visitors. It gives the executor
a folder in each hierarchy of control groups, makes the sandboxes' device files, and unmounts what Docker has mounted
over parts of /proc and /sys: in a user namespace, the kernel allows new mounts of these only where no part is hidden.
Then it enters a user namespace whose root is an unprivileged user of the host. From then on no process of the container
has a capability on the host.

In a pod with a user namespace of its own (`hostUsers: false`), an uncovered /proc and control groups that it may write,
no process has one from the start, and there is nothing to unmount or to make. The launcher still enters a namespace
below the pod's, which locks the container's mounts. In the pod's own, the executor would need CAP_SYS_ADMIN, and could
make the container's root writable, and /etc/hosts and /etc/resolv.conf, which it shares with the api.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from app.executor import cgroups, devices, syscalls, workshop
from app.executor.cgroups import CgroupError
from app.executor.settings import ExecutorSettings
from app.process.settings import SettingsError


@dataclass(frozen=True)
class Container:
    """What the launcher begins with.

    `users` are the first and the number of those that become the executor's, and `owner` is the one to whom their
    namespace belongs: the kernel counts what they take against the owner's limits too, of which they may use a part,
    one of `parts`. `capabilities` are those that the launcher needs. `fix` says who gives what is lacking.
    """

    users: tuple[int, int]
    owner: int
    parts: int
    capabilities: tuple[str, ...]
    fix: str


WITH_HOST_USERS = Container(
    # useradd's first range for subordinate ids. The owner is not root, whose limits the host's services need.
    users=(100_000, 65_536),
    owner=100_000,
    parts=1,
    capabilities=("SYS_ADMIN", "SETUID", "SETGID", "CHOWN", "MKNOD"),
    fix="The container needs a tmpfs at /run, and the capabilities, the seccomp profile and the AppArmor profile that "
    "the platform's program gives it (docs/SECURITY.md)",
)
WITH_OWN_USERS = Container(
    # A pod has the ids from 0 to 65535. Its root belongs to the node's, whose services keep half of its limits.
    users=(1, 65_535),
    owner=0,
    parts=2,
    capabilities=("SETUID", "SETGID", "CHOWN"),
    fix="Use a cluster that gives a pod hostUsers: false, procMount: Unmasked and, by cluster.units.runtime_class, "
    "control groups of version 2 that it may write, or set cluster.units.isolation to launcher (docs/KUBERNETES.md)",
)
_NUMBERS = {"CHOWN": 0, "MKNOD": 27, "SETGID": 6, "SETUID": 7, "SYS_ADMIN": 21}
"""The kernel's numbers of the capabilities."""
LISTENER = 100
"""The descriptor of the socket that the executor inherits and listens on."""
_PROC = "/proc"
_ALL = 2**32 - 1
"""The number of ids of the host's own namespace."""


class LauncherError(Exception):
    """The container can't be prepared. The message says what was refused, and what to change."""

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}. {fix}.")


def find_container(*, host_users: bool) -> Container:
    """The container as the settings describe it, or LauncherError."""
    found = WITH_HOST_USERS if host_users else WITH_OWN_USERS
    first, count = found.users
    for kind in ("user", "group"):
        lines = Path(_PROC, f"self/{kind[0]}id_map").read_text().splitlines()
        ranges = [(start, start + size) for start, _, size in (map(int, line.split()) for line in lines)]
        if not host_users and ranges == [(0, _ALL)]:
            raise LauncherError(
                f"the {kind} ids of this container are the node's: its runtime ignores hostUsers: false, as containerd "
                "does before version 2.0, or the cluster knows no such field",
                found.fix,
            )
        if not any(start <= first and first + count <= end for start, end in ranges):
            raise LauncherError(
                f"the {kind} ids {first} to {first + count - 1} do not exist in this container"
                + (", so Docker is rootless, or remaps user namespaces" if host_users else ""),
                "Use a Docker that runs as root without userns-remap (docs/GETTING_STARTED.md)"
                if host_users
                else found.fix,
            )
    if not os.statvfs("/").f_flag & os.ST_RDONLY:
        raise LauncherError("the container's root can be written", "Start the container with a read-only root")
    return found


def _lacking(container: Container) -> list[str]:
    """The capabilities that this process needs and does not have."""
    status = Path(_PROC, "self/status").read_text()
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for name in container.capabilities if not held >> _NUMBERS[name] & 1]


def _prepare(container: Container) -> None:
    user, _ = container.users
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("control groups could not be given to the executor", lambda: cgroups.delegate(user)),
        ("the sandboxes' devices could not be made", lambda: _make_devices(container)),
        ("the sandboxes' folder could not be made", lambda: _make_folder(user)),
        ("the socket could not be made", _bind_socket),
        ("/proc and /sys could not be uncovered", _uncover),
    )
    for doing, step in steps:
        _try(container, doing, step)


def _try(container: Container, doing: str, step: Callable[[], None]) -> None:
    lacking = _lacking(container)
    try:
        step()
    except OSError as error:
        fix = f"Give the container the capabilities that it lacks: {', '.join(lacking)} (docs/SECURITY.md)"
        raise LauncherError(f"{doing}: {error.strerror}", fix if lacking else container.fix) from error


def _make_devices(container: Container) -> None:
    """In a pod's namespace nobody can: `_run` takes those of the image."""
    if container is WITH_HOST_USERS:
        devices.make()
    else:
        devices.FOLDER.mkdir(parents=True, exist_ok=True)


def _make_folder(user: int) -> None:
    workshop.FOLDER.mkdir(mode=0o711, exist_ok=True)
    os.chown(workshop.FOLDER, user, user)


def _bind_socket() -> None:
    """Bind the executor's socket. Its folder is on the host's disk and stays root's: the executor can't write there."""
    place = ExecutorSettings.read(os.environ).socket
    place.parent.mkdir(parents=True, exist_ok=True)
    os.chown(place.parent, 0, 0)
    place.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place))
        os.dup2(listener.fileno(), LISTENER, inheritable=False)
    place.chmod(0o666)


def _uncover() -> None:
    for place in reversed([mount.place for mount in syscalls.mounts()]):
        if place.startswith((f"{_PROC}/", "/sys/")) and not place.startswith(str(cgroups.ROOT)):
            syscalls.unmount(place)


def _enter_user_namespace(container: Container) -> None:
    """Become root of a user namespace. A helper that stays outside writes the maps, as only it may."""
    us, (first, count) = os.getpid(), container.users
    unshared, tell = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(tell)
        os.read(unshared, 1)
        refused = 0
        try:
            for ids in ("uid_map", "gid_map"):
                Path(f"{_PROC}/{us}/{ids}").write_text(f"0 {first} {count}\n")
        except OSError as error:
            refused = error.errno or errno.EIO
        os._exit(refused)
    os.close(unshared)
    os.setresuid(0, container.owner, 0)
    syscalls.raise_capabilities()
    syscalls.unshare(syscalls.NEWUSER)
    os.close(tell)
    if refused := os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]):
        raise OSError(refused, os.strerror(refused))
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.unshare(_namespaces(container))


def _namespaces(container: Container) -> int:
    """What the executor has of its own besides users: a network too where the container has one, as in a pod."""
    has_network = any(name != "lo" for _, name in socket.if_nameindex()) or container is WITH_OWN_USERS
    return syscalls.NEWPID | syscalls.NEWIPC | syscalls.NEWUTS | (syscalls.NEWNET if has_network else 0)


def _share_out(users: int) -> None:
    """Limit each user of the namespace to an equal share of the inotify objects that the namespace's owner may have."""
    for what in ("instances", "watches"):
        together = int(Path(f"{_PROC}/sys/fs/inotify/max_user_{what}").read_text())
        Path(f"{_PROC}/sys/user/max_inotify_{what}").write_text(str(max(1, together // users)))


def _run(container: Container, command: Sequence[str], users: int) -> NoReturn:
    """Run a command as PID 1 of the new namespaces, with a /proc of its own, and become images/executor/wait.c.

    This process keeps the container's mounts, because Docker's health checks run in its mount namespace.
    """
    child = os.fork()
    if child == 0:
        syscalls.unshare(syscalls.NEWNS)
        syscalls.mount("proc", _PROC, "proc", syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC)
        if container is WITH_OWN_USERS:
            devices.take()
        _share_out(users * container.parts)
        os.set_inheritable(LISTENER, True)
        os.execv(command[0], list(command))  # noqa: S606 - our own Python
    waiter = workshop.PROGRAMS / "wait"
    os.execv(waiter, [str(waiter), str(child)])  # noqa: S606 - our own program


def main() -> None:
    """Never returns: ends with the executor's exit code."""
    try:
        settings = ExecutorSettings.read(os.environ)
        container = find_container(host_users=settings.host_users)
        _prepare(container)
        doing = "no user namespace could be entered (sysctl user.max_user_namespaces bounds them)"
        _try(container, doing, lambda: _enter_user_namespace(container))
        command = [sys.executable, "-m", "app.executor"]
        _try(container, "the executor could not be run", lambda: _run(container, command, settings.concurrency))
    except (LauncherError, SettingsError, CgroupError) as error:
        sys.exit(f"The executor can't start: {error}")


if __name__ == "__main__":
    main()
