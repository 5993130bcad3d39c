"""Prepares the container, then starts the executor in a user namespace: `python -m app.executor.launcher`.

The launcher runs as the container's root with a few capabilities, and reads nothing of visitors. It gives the executor
a folder in each hierarchy of control groups, makes the sandboxes' device files, and unmounts what Docker has mounted
over parts of /proc and /sys: in a user namespace, the kernel allows new mounts of these only where no part is hidden.
Then it enters a user namespace whose root is an unprivileged user of the host. From then on no process of the container
has a capability on the host.
"""

import errno
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NoReturn

from app.executor import cgroups, devices, syscalls, workshop
from app.executor.cgroups import CgroupError
from app.executor.settings import ExecutorSettings
from app.process.settings import SettingsError

FIRST_ID, IDS = 100_000, 65_536
"""The range of the host's user and group ids that the namespace maps: useradd's first one for subordinate ids."""
CAPABILITIES: Mapping[str, int] = MappingProxyType(
    {"SYS_ADMIN": 21, "SETUID": 7, "SETGID": 6, "CHOWN": 0, "MKNOD": 27},
)
"""The capabilities that the container needs, with the kernel's numbers. tests/sandbox/test_refusals.py removes each."""
NEEDS = (
    "The container needs a tmpfs at /run, and the capabilities, the seccomp profile and the AppArmor profile that the "
    "platform's program gives it (docs/SECURITY.md)"
)
LISTENER = 100
"""The descriptor of the socket that the executor inherits and listens on."""
_PROC = "/proc"


class LauncherError(Exception):
    """The container can't be prepared. The message says what was refused, and what to change."""

    def __init__(self, cause: str, fix: str) -> None:
        super().__init__(f"{cause}. {fix}.")


def _lacking() -> list[str]:
    """The capabilities that this process needs and does not have."""
    status = Path(_PROC, "self/status").read_text()
    held = int(status.partition("CapEff:")[2].split()[0], 16)
    return [name for name, number in CAPABILITIES.items() if not held >> number & 1]


def _check_container() -> None:
    """Check what no later step would notice, or would fail at with a misleading message."""
    for kind in ("user", "group"):
        ranges = (map(int, line.split()) for line in Path(_PROC, f"self/{kind[0]}id_map").read_text().splitlines())
        if not any(first <= FIRST_ID and first + count >= FIRST_ID + IDS for first, _, count in ranges):
            raise LauncherError(
                f"the {kind} ids {FIRST_ID} to {FIRST_ID + IDS - 1} do not exist in this container, so Docker is "
                "rootless, or remaps user namespaces",
                "Use a Docker that runs as root without userns-remap (docs/GETTING_STARTED.md)",
            )
    if not os.statvfs("/").f_flag & os.ST_RDONLY:
        raise LauncherError("the container's root can be written", "Start the container with a read-only root")


def _prepare(slots: int) -> None:
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("control groups could not be given to the executor", lambda: cgroups.delegate(FIRST_ID)),
        ("the sandboxes' devices could not be made", lambda: devices.make(slots)),
        ("the sandboxes' folder could not be made", _make_folder),
        ("the socket could not be made", _bind_socket),
        ("/proc and /sys could not be uncovered", _uncover),
    )
    for doing, step in steps:
        _try(doing, step)


def _try(doing: str, step: Callable[[], None]) -> None:
    lacking = _lacking()
    try:
        step()
    except OSError as error:
        fix = f"Give the container the capabilities that it lacks: {', '.join(lacking)} (docs/SECURITY.md)"
        raise LauncherError(f"{doing}: {error.strerror}", fix if lacking else NEEDS) from error


def _make_folder() -> None:
    workshop.FOLDER.mkdir(mode=0o711, exist_ok=True)
    os.chown(workshop.FOLDER, FIRST_ID, FIRST_ID)


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
    # crun mounts /sys first and makes it read-only afterwards, which a read-only one here would forbid.
    syscalls.mount("", "/sys", "", syscalls.REMOUNT | syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC)


def _enter_user_namespace() -> None:
    """Become root of a user namespace. A helper that stays outside writes the maps, as only it may.

    The kernel counts what the namespace's users take against the limits of its owner too. So the owner is the first of
    these users and not root, whose limits the host's services need.
    """
    us = os.getpid()
    unshared, tell = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(tell)
        os.read(unshared, 1)
        refused = 0
        try:
            for ids in ("uid_map", "gid_map"):
                Path(f"{_PROC}/{us}/{ids}").write_text(f"0 {FIRST_ID} {IDS}\n")
        except OSError as error:
            refused = error.errno or errno.EIO
        os._exit(refused)
    os.close(unshared)
    os.setresuid(0, FIRST_ID, 0)
    syscalls.raise_capabilities()
    syscalls.unshare(syscalls.NEWUSER)
    os.close(tell)
    if refused := os.waitstatus_to_exitcode(os.waitpid(helper, 0)[1]):
        raise OSError(refused, os.strerror(refused))
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.unshare(_namespaces())


def _namespaces() -> int:
    """What the executor has of its own besides users: a network too where the container has one, as in a pod."""
    has_network = any(name != "lo" for _, name in socket.if_nameindex())
    return syscalls.NEWPID | syscalls.NEWIPC | syscalls.NEWUTS | (syscalls.NEWNET if has_network else 0)


def _share_out(users: int) -> None:
    """Limit each user of the namespace to an equal share of the inotify objects that the namespace's owner may have."""
    for what in ("instances", "watches"):
        together = int(Path(f"{_PROC}/sys/fs/inotify/max_user_{what}").read_text())
        Path(f"{_PROC}/sys/user/max_inotify_{what}").write_text(str(max(1, together // users)))


def _run(command: Sequence[str], users: int) -> NoReturn:
    """Run a command as PID 1 of the new namespaces, with a /proc of its own, and become images/executor/wait.c.

    This process keeps the container's mounts, because Docker's health checks run in its mount namespace.
    """
    child = os.fork()
    if child == 0:
        syscalls.unshare(syscalls.NEWNS)
        syscalls.mount("proc", _PROC, "proc", syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC)
        _share_out(users)
        os.set_inheritable(LISTENER, True)
        os.execv(command[0], list(command))  # noqa: S606 - our own Python
    waiter = workshop.PROGRAMS / "wait"
    os.execv(waiter, [str(waiter), str(child)])  # noqa: S606 - our own program


def main() -> None:
    """Never returns: ends with the executor's exit code."""
    try:
        _check_container()
        _prepare(slots=devices.SLOTS)
        users = ExecutorSettings.read(os.environ).concurrency
        _try("no user namespace could be entered (sysctl user.max_user_namespaces bounds them)", _enter_user_namespace)
        _try("the executor could not be run", lambda: _run([sys.executable, "-m", "app.executor"], users))
    except (LauncherError, SettingsError, CgroupError) as error:
        sys.exit(f"The executor can't start: {error}")


if __name__ == "__main__":
    main()
