"""Attacks of somebody who runs code as the executor: its user, its capabilities, its place in the container.

Whoever takes over the executor reads the code and the input of every visitor from then on, answers falsely, stops
sandboxes, or serves nobody. They hold nothing of the host: no device, network, other process or file, and no more
memory and processor time than the executor's container has.
"""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from infra.services.sandbox import EXECUTOR_ENTRYPOINT
from tests.sandbox.attacks.carrier import CALLS
from tests.sandbox.executor import Host
from tests.sandbox.processes import Platform

HELPERS = """
import socket, stat
REMOUNT, BIND, DETACH, NEWCGROUP, NEWNET = 32, 4096, 2, 0x02000000, 0x40000000
os.makedirs("/tmp/m", exist_ok=True)

def text(value):
    return ctypes.c_char_p(value.encode())

def mounted(source, kind, flags=0, options="", place="/tmp/m"):
    found = call(165, text(source), text(place), text(kind), flags, text(options))
    return "done" if found == 0 else found

def writable(root, skip=()):
    "The plain files below a folder that can be opened for writing. None is written."
    for folder, folders, names in os.walk(root):
        folders[:] = [name for name in folders if os.path.join(folder, name) not in skip]
        for name in names:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISREG(os.lstat(path).st_mode):
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    yield path
            except OSError:
                pass

def made(path, mode, *numbers):
    return opened(lambda: os.mknod(path, mode | 0o600, os.makedev(*numbers)))

def reach(family, kind, address):
    with socket.socket(family, kind) as probe:
        probe.settimeout(1)
        probe.connect(address)

def places():
    return [line.split()[4] for line in open("/proc/self/mountinfo")]

UNREACHABLE = [(2, ("1.1.1.1", 80)), (2, ("172.17.0.1", 2375)), (2, ("169.254.169.254", 80)),
               (10, ("2606:4700::1111", 80)), (40, (2, 2375)),
               *((1, path) for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/systemd/private"))]
"""
ATTACK = """
found = {}
found["user"] = [os.getresuid(), open("/proc/self/uid_map").read().split()]
found["capabilities"] = open("/proc/self/status").read().partition("CapEff:")[2].split()[0]
found["files"] = sorted(int(name) for name in os.listdir("/proc/self/fd"))[:-1]

# Devices: made, opened, mounted.
disk = os.stat("/etc/hosts").st_dev
found["device"] = {
    "the disk": made("/tmp/disk", stat.S_IFBLK, os.major(disk), os.minor(disk)),
    "memory": made("/tmp/mem", stat.S_IFCHR, 1, 1), "log": made("/tmp/kmsg", stat.S_IFCHR, 1, 11),
    "fuse": made("/tmp/fuse", stat.S_IFCHR, 10, 229),
}
found["memory of the kernel"] = opened(lambda: os.close(os.open("/proc/kcore", os.O_RDONLY)))
found["devices"] = sorted(name for name in os.listdir("/dev") if name not in ("pts", "shm", "mqueue", "fd"))
kinds = [line.split() for line in open("/proc/filesystems")]
found["file systems with a device"] = sorted(
    kind[-1] for kind in kinds if len(kind) == 1 and mounted("/dev/vda", kind[0]) == "done")
found["file systems"] = sorted(
    kind[-1] for kind in kinds if len(kind) == 2 and apart(lambda: mounted("none", kind[-1])) == "done")

# The search finds what the executor may write.
opened(lambda: os.mkdir("/tmp/own"))
opened(lambda: open("/tmp/own/file", "w").close())
found["its own"] = list(writable("/tmp/own"))

# The kernel's settings, control groups, the container's image.
found["sysctls"] = sorted(writable("/proc/sys"))
own = {f"/proc/{name}" for name in os.listdir("/proc") if name.isdigit() or name in ("self", "thread-self")}
found["of /proc"] = sorted(writable("/proc", {"/proc/sys", *own}))
found["of /sys"] = sorted(writable("/sys", {"/sys/fs/cgroup"}))
groups = [folder for folder, folders, names in os.walk("/sys/fs/cgroup") if folder.endswith("/sandboxes")]
found["control groups above its own"] = sorted(writable("/sys/fs/cgroup", set(groups)))

def release_agent():
    call(272, NEWCGROUP)
    results = []
    for options in ("memory", "pids", "cpuset", "devices", "rdma", "none,name=mine"):
        if mounted("none", "cgroup", 0, options) == "done":
            results += [name for name in writable("/tmp/m") if "/sandboxes/" not in name]
            results += [name for name in os.listdir("/tmp/m") if name == "release_agent"]
    return results
found["control groups by another mount"] = apart(release_agent)

def written(path):
    return opened(lambda: os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)))
def remounted():
    for place in places():
        mounted("", "", REMOUNT | BIND, place=place)
    mounted("", "", REMOUNT, place="/")
    return {path: written(path) for path in (
        "/srv/x", "/usr/bin/x", "/environments/python/usr/bin/x", "/usr/local/lib/sandbox/init", "/etc/hosts",
        "/run/executor/x", "/run/executor/executor.sock", "/sys/fs/cgroup/devices/devices.allow", "/sys/fs/cgroup/x")}
found["written"] = apart(remounted)

# Other processes: its launcher, those of other containers, of the host.
found["processes"] = [name for name in os.listdir("/proc") if name.isdigit()]
found["user namespace"] = os.readlink("/proc/self/ns/user")
for place in places():
    call(166, text(place), DETACH)
def of_launcher():
    "What the container's /proc gives, where it is uncovered."
    others = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    def entered(name, flag):
        return call(308, os.open(f"/proc/1/ns/{name}", os.O_RDONLY), flag)
    namespaces = {"mnt": 0x20000, "pid": 0x20000000, "net": NEWNET, "cgroup": NEWCGROUP, "user": 0x10000000}
    return {
        "others": [open(f"/proc/{other}/comm").read().strip() for other in others],
        "user namespaces": sorted({os.readlink(f"/proc/{other}/ns/user") for other in others}),
        "refused": {"SIGKILL": call(424, os.open("/proc/1", os.O_RDONLY), 9, None, 0),
                    **{name: entered(name, flag) for name, flag in namespaces.items()}},
        "its root": sorted(set(os.listdir("/proc/1/root/")) - set(os.listdir("/"))),
    }
found["launcher"] = apart(of_launcher)
found["identity"] = {"user": opened(lambda: os.setuid(65536)), "owner": opened(lambda: os.chown("/tmp", 65536, 0))}

# The network, and sockets of the host.
found["reached"] = {str(address): opened(lambda: reach(family, 1, address)) for family, address in UNREACHABLE}
found["reached"]["packets"] = opened(lambda: socket.socket(17, 3, 0x300))
found["interfaces"] = sorted(name for _, name in socket.if_nameindex())

# Calls that nothing here needs.
buffer = ctypes.create_string_buffer(4096)
found["calls"] = {
    "init_module": call(175, buffer, 4096, text("")), "finit_module": call(313, 0, text(""), 0),
    "delete_module": call(176, text("ext4"), 2048), "kexec_load": call(246, 0, 0, None, 0),
    "kexec_file_load": call(320, 0, 0, 0, None, 0), "io_uring": call(425, 8, buffer), "bpf": call(321, 0, buffer, 128),
    "perf": call(298, buffer, 0, -1, -1, 0), "userfaultfd": call(323, 0), "file handle": call(304, -100, buffer, 0),
    "name of a handle": call(303, -100, text("/"), buffer, buffer, 0), "kernel log": call(103, 3, buffer, 4096),
    "reboot": call(169, 0xFEE1DEAD, 672274793, 0, None), "swapon": call(167, text("/tmp/disk"), 0),
    "acct": call(163, text("/tmp/x")), "clock": call(227, 0, buffer), "iopl": call(172, 3), "keys": call(250, 0, -3, 1),
    "fanotify": call(300, 0, 0), "quotactl": call(179, 0, text("/"), 0, buffer), "aio": call(206, 8, buffer),
}
print(json.dumps(found), flush=True)
"""
LAUNCHER = """
from app.executor import launcher
run = launcher._run
launcher._run = lambda container, command, users: run(container, [command[0], "-c", {attack!r}], users)
launcher.main()
"""
"""The launcher, which runs the attack instead of the executor."""
NAMESPACED = (
    *(
        "/proc/sys/user/",
        "/proc/sys/fs/mqueue/",
        "/proc/sys/kernel/msg",
        "/proc/sys/kernel/sem",
        "/proc/sys/kernel/shm",
    ),
    *("/proc/sys/kernel/auto_msgmni", "/proc/sys/kernel/ns_last_pid", "/proc/sys/kernel/pid_max"),
)
"""Settings of which each namespace has its own. Those of user namespaces bound what is below, never what is above."""
HOLDING_NOTHING = {"tmpfs", "ramfs", "devpts", "mqueue", "proc", "binfmt_misc"}
"""File systems that begin empty in a namespace, or show what is in it."""
DEVICES = {"core", "full", "null", "ptmx", "random", "stderr", "stdin", "stdout", "tty", "urandom", "zero"}
"""`core` is a link to /proc/kcore, which Docker makes where the kernel has that."""


@pytest.fixture(scope="module")
def found(host: Host, attacked: Platform, names: Iterator[str], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """What the attack has found in the place of an executor, while another executor runs beside it."""
    executor = Platform(host, next(names), ["python"], tmp_path_factory.mktemp("takeover") / "platform").executor
    assert attacked.sandboxes()
    try:
        launcher = LAUNCHER.format(attack=CALLS + HELPERS + ATTACK)
        executor.start(entrypoint=[*EXECUTOR_ENTRYPOINT[:-2], "-c", launcher])
        code, log = executor.wait(60)
    finally:
        executor.remove()
    assert code == 0, log
    return json.loads(log.splitlines()[-1])


def test_it_has_every_capability_in_its_own_user_namespace(found: Any) -> None:
    """Shows that the attack is made with all that the executor has."""
    assert found["user"] == [[0, 0, 0], ["0", "100000", "65536"]]
    assert int(found["capabilities"], 16) >= 2**38 - 1


def test_the_search_finds_what_the_executor_may_write(found: Any) -> None:
    """So the searches that find nothing are real."""
    assert found["its own"] == ["/tmp/own/file"]


def test_no_device_of_the_host_is_made_or_mounted(found: Any) -> None:
    assert found["device"] == dict.fromkeys(found["device"], "EPERM")
    assert set(found["devices"]) <= DEVICES
    assert found["memory of the kernel"] in {"EACCES", "ENOENT", "EPERM"}
    assert found["file systems with a device"] == []
    assert set(found["file systems"]) <= HOLDING_NOTHING


def test_no_setting_of_the_host_is_written(found: Any) -> None:
    """core_pattern among them. Anybody may open the files in /proc/pressure."""
    assert [path for path in found["sysctls"] if not path.startswith(NAMESPACED)] == []
    assert [path for path in found["of /proc"] if not path.startswith("/proc/pressure/")] == []
    assert found["of /sys"] == []


def test_no_control_group_but_the_sandboxes_is_written(found: Any) -> None:
    """release_agent among them, by the container's mounts and by new ones."""
    assert found["control groups above its own"] == []
    assert found["control groups by another mount"] == []


def test_nothing_of_the_image_or_on_the_disk_is_written(found: Any) -> None:
    assert "done" not in found["written"].values()


def test_no_process_outside_is_reached(found: Any) -> None:
    """Below its own /proc is the container's, with the launcher's process, which is in the same user namespace."""
    assert found["processes"] == ["1"]
    launcher = found["launcher"]
    assert set(launcher["others"]) <= {"python", "wait"}
    assert launcher["user namespaces"] == [found["user namespace"]]
    assert launcher["its root"] == []
    assert "done" not in launcher["refused"].values()
    assert all(isinstance(answer, str) for answer in launcher["refused"].values())
    assert found["identity"] == dict.fromkeys(found["identity"], "EINVAL")


def test_no_network_and_no_socket_of_the_host_is_reached(found: Any) -> None:
    assert found["interfaces"] == ["lo"]
    assert "done" not in found["reached"].values()


def test_calls_that_nothing_here_needs_are_refused(found: Any) -> None:
    assert found["calls"] == dict.fromkeys(found["calls"], "EPERM")
