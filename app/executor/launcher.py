"""Prepare the container, then start the executor in a user namespace: `python -m app.executor.launcher`.

The container's root has a few capabilities and uses them here, before anything of a visitor is read: it gives a folder
of each control group to the executor, makes the devices of the sandboxes, and uncovers /proc, since the kernel allows
a new /proc in a user namespace only where none of it is hidden. Then it enters a user namespace whose root is an
unprivileged user of the host. From there on, no process of this container has a capability on the host.
"""

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from app.executor import cgroups, devices, syscalls, workshop
from app.executor.settings import executor_settings
from app.process.settings import SettingsError

FIRST_ID, IDS = 100_000, 65_536
"""The range of the host's user and group ids that the namespace maps: useradd's first one for subordinate ids."""
_PROC = "/proc"
_PASSED_ON = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT)


@dataclass(frozen=True)
class LauncherError(Exception):
    """The container can't be prepared. The message says what was refused, and what to change."""

    doing: str
    cause: OSError

    def __str__(self) -> str:
        return (
            f"{self.doing}: {self.cause.strerror}. The container needs the capabilities, the seccomp profile and the "
            "AppArmor profile that the platform's program gives it (docs/SECURITY.md, the executor)."
        )


def _prepare(slots: int) -> None:
    steps: tuple[tuple[str, Callable[[], None]], ...] = (
        ("control groups could not be given to the executor", lambda: cgroups.delegate(FIRST_ID)),
        ("the sandboxes' devices could not be made", lambda: devices.make(slots)),
        ("the sandboxes' folder could not be made", _make_folder),
        ("the socket's folder could not be given to the executor", _give_socket_folder),
        ("/proc could not be uncovered", _uncover_proc),
    )
    for doing, step in steps:
        try:
            step()
        except OSError as error:
            raise LauncherError(doing, error) from error


def _make_folder() -> None:
    workshop.FOLDER.mkdir(mode=0o711, exist_ok=True)
    os.chown(workshop.FOLDER, FIRST_ID, FIRST_ID)


def _give_socket_folder() -> None:
    folder = executor_settings(os.environ).socket.parent
    folder.mkdir(parents=True, exist_ok=True)
    os.chown(folder, FIRST_ID, FIRST_ID)


def _uncover_proc() -> None:
    for place in reversed([mount.place for mount in syscalls.mounts() if mount.place.startswith(f"{_PROC}/")]):
        syscalls.unmount(place)


def _enter_user_namespace() -> None:
    """Become root of a user namespace. A helper that stays outside writes the maps, as only it may."""
    us = os.getpid()
    unshared, tell = os.pipe()
    helper = os.fork()
    if helper == 0:
        os.close(tell)
        os.read(unshared, 1)
        for ids in ("uid_map", "gid_map"):
            Path(f"{_PROC}/{us}/{ids}").write_text(f"0 {FIRST_ID} {IDS}\n")
        os._exit(0)
    os.close(unshared)
    syscalls.unshare(syscalls.NEWUSER)
    os.close(tell)
    if os.waitpid(helper, 0)[1]:
        raise OSError(0, "the ids could not be mapped")
    os.setgroups([])
    os.setresgid(0, 0, 0)
    os.setresuid(0, 0, 0)
    syscalls.unshare(syscalls.NEWPID | syscalls.NEWIPC | syscalls.NEWUTS)


def _run(command: Sequence[str]) -> NoReturn:
    """Run it as PID 1 of the new namespaces, with a /proc of its own. This process waits for it as a small program.

    It keeps the container's mounts: Docker runs health checks among them, and they need its /proc.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    child = os.fork()
    if child == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        syscalls.unshare(syscalls.NEWNS)
        syscalls.mount("proc", _PROC, "proc", syscalls.NOSUID | syscalls.NODEV | syscalls.NOEXEC)
        os.execv(command[0], list(command))  # noqa: S606 - our own Python
    waiter = workshop.PROGRAMS / "wait"
    os.execv(waiter, [str(waiter), str(child)])  # noqa: S606 - our own program


def main() -> NoReturn:
    """Become the program that ends with the executor's exit code."""
    try:
        _prepare(slots=devices.SLOTS)
        _enter_user_namespace()
        _run([sys.executable, "-m", "app.executor"])
    except (LauncherError, SettingsError) as error:
        sys.exit(f"The executor can't start: {error}")
    except OSError as error:
        sys.exit(f"The executor can't start: {LauncherError('no user namespace could be entered', error)}")


if __name__ == "__main__":
    main()
