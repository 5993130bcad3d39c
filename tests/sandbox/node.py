"""Does, with runc, what a node does for the executor of a pod. The tests send this file to their host, and run it there
as root.

The one thing that no runtime does: with version 1 of control groups, it gives the pod groups that it may write.
"""

import ctypes
import json
import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LIBC = ctypes.CDLL(None, use_errno=True)
OPEN_TREE, MOVE_MOUNT, MOUNT_SETATTR = 428, 429, 442
"""Numbers of system calls, the same on each architecture."""
HERE, CLONE, EMPTY_PATH, FROM_DESCRIPTOR, ID_MAPPED = -100, 1, 0x1000, 4, 0x100000
GROUPS = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
SHARED = ("hosts", "resolv.conf")
"""Files that a kubelet mounts in /etc of all containers of a pod."""
FIRST, USERS = 200_000, 65_536
"""The node's ids that the pod has. A kubelet gives each pod others."""


def called(number: int, *arguments: object) -> int:
    """The result of a system call, or OSError."""
    result = int(LIBC.syscall(number, *arguments))
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(arguments))
    return result


def users() -> int:
    """A descriptor of a user namespace in which the ids from FIRST on are those from 0 on."""
    own = Path("/proc/self/ns/user").readlink()
    holder = subprocess.Popen(["unshare", "--user", "sleep", "60"])
    try:
        while Path(f"/proc/{holder.pid}/ns/user").readlink() == own:
            time.sleep(0.01)
        for kind in ("uid_map", "gid_map"):
            Path(f"/proc/{holder.pid}/{kind}").write_text(f"0 {FIRST} {USERS}\n")
        return os.open(f"/proc/{holder.pid}/ns/user", os.O_RDONLY)
    finally:
        holder.kill()
        holder.wait()


def mount_mapped(source: str, place: Path, namespace: int) -> None:
    """Mount a folder once more: its files belong to the pod's users of the same ids."""
    place.mkdir()
    tree = called(OPEN_TREE, HERE, source.encode(), CLONE | os.O_CLOEXEC)
    attributes = (ctypes.c_uint64 * 4)(ID_MAPPED, 0, 0, namespace)
    called(MOUNT_SETATTR, tree, b"", EMPTY_PATH, attributes, ctypes.sizeof(attributes))
    called(MOVE_MOUNT, tree, b"", HERE, str(place).encode(), FROM_DESCRIPTOR)
    os.close(tree)


def make_root(folder: Path, layers: Sequence[str]) -> None:
    """Mount the container's root: the image's layers, and one that the pod's root may write, as any runtime does."""
    namespace = users()
    lower = [folder / f"layer{number}" for number in range(len(layers))]
    for place, source in zip(lower, layers, strict=True):
        mount_mapped(source, place, namespace)
    os.close(namespace)
    for name in ("root", "upper", "work"):
        (folder / name).mkdir()
        os.chown(folder / name, FIRST, FIRST)
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={folder}/upper,workdir={folder}/work"
    subprocess.run(["mount", "-t", "overlay", "-o", options, "root", folder / "root"], check=True)


def delegate(name: str) -> None:
    """With version 1, make the pod's control groups, which it may write."""
    if not (GROUPS / "cgroup.controllers").exists():
        for controller in CONTROLLERS:
            (GROUPS / controller / name).mkdir()
            os.chown(GROUPS / controller / name, FIRST, FIRST)


def start(folder: Path, layers: Sequence[str], config: dict[str, Any], *, delegated: bool) -> None:
    """Start the container with this configuration in a new folder, whose name it gets. Its log is the file `log`."""
    (folder / "run").mkdir(parents=True)
    for name in SHARED:
        (folder / name).write_text("")
    for name in ("run", *SHARED):
        os.chown(folder / name, FIRST, FIRST)
    make_root(folder, layers)
    if delegated:
        delegate(folder.name)
    (folder / "config.json").write_text(json.dumps(config))
    by_systemd = ["--systemd-cgroup"] if ":" in config["linux"]["cgroupsPath"] else []
    # Its warnings go to a file of their own.
    command = ["runc", f"--log={folder}/runc.log", *by_systemd, "run", "--detach", "--bundle", str(folder), folder.name]
    with (folder / "log").open("wb") as log:
        subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)


def state(folder: Path) -> None:
    """Print whether the container has ended, and its log."""
    found = subprocess.run(["runc", "state", folder.name], capture_output=True, check=False)
    ended = found.returncode != 0 or json.loads(found.stdout)["status"] == "stopped"
    print(json.dumps([ended, (folder / "log").read_text(errors="replace")]))


def remove(folder: Path) -> None:
    """Remove all that `start` has made."""
    subprocess.run(["runc", "delete", "--force", folder.name], capture_output=True, check=False)
    for controller in CONTROLLERS:
        for place, _, _ in os.walk(GROUPS / controller / folder.name, topdown=False):
            Path(place).rmdir()
    for mounted in (folder / "root", *folder.glob("layer*")):
        subprocess.run(["umount", mounted], capture_output=True, check=False)
    shutil.rmtree(folder, ignore_errors=True)
