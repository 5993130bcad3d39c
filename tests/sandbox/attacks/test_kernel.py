"""Attacks on the kernel: what the sandbox's seccomp profile removes, and what the sandbox's other limits refuse."""

import json

import pytest

from app.environments import ENVIRONMENTS
from tests.sandbox.attacks.carrier import CALLS, carried
from tests.sandbox.processes import Platform, output_json
from tools.build import seccomp

_NUMBERS = """
    shmget=29 shmat=30 shmctl=31 semget=64 semop=65 semctl=66 shmdt=67 msgget=68 msgsnd=69 msgrcv=70 msgctl=71
    semtimedop=220 mq_open=240 mq_unlink=241 mq_timedsend=242 mq_timedreceive=243 mq_notify=244 mq_getsetattr=245
    mincore=27 cachestat=451 splice=275 tee=276 vmsplice=278 sync=162 syncfs=306 ptrace=101 process_vm_readv=310
    process_vm_writev=311 kcmp=312 pidfd_getfd=438 process_madvise=440 process_mrelease=448 memfd_create=319
    memfd_secret=447 mount=165 umount2=166 open_tree=428 move_mount=429 fsopen=430 fsconfig=431 fsmount=432
    fspick=433 mount_setattr=442 chroot=161 pivot_root=155 unshare=272 setns=308 sethostname=170 setdomainname=171
    bpf=321 perf_event_open=298 io_setup=206 io_destroy=207 io_getevents=208 io_submit=209 io_cancel=210
    io_pgetevents=333 io_uring_setup=425 io_uring_enter=426 io_uring_register=427 name_to_handle_at=303
    open_by_handle_at=304 fanotify_init=300 fanotify_mark=301 lookup_dcookie=212 personality=135 modify_ldt=154
    mbind=237 set_mempolicy=238 get_mempolicy=239 set_mempolicy_home_node=450 migrate_pages=256 move_pages=279
    adjtimex=159 clock_adjtime=305 clock_settime=227 settimeofday=164 setrlimit=160 quotactl=179 quotactl_fd=443
    acct=163 init_module=175 delete_module=176 finit_module=313 reboot=169 syslog=103 vhangup=153 iopl=172
    ioperm=173 lsm_get_self_attr=459 lsm_set_self_attr=460 lsm_list_modules=461 userfaultfd=323 add_key=248
    request_key=249 keyctl=250 kexec_load=246 kexec_file_load=320 swapon=167 swapoff=168 uselib=134 ustat=136
    sysfs=139 nfsservctl=180
"""
NUMBERS = dict(pair.split("=") for pair in _NUMBERS.split())
"""Each call's number in the 64-bit mode of amd64."""


def test_every_call_of_the_table_is_attacked() -> None:
    assert set(NUMBERS) == seccomp.calls(seccomp.table(), "removed", "withheld")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_removed_calls_do_not_reach_the_kernel(platform: Platform, environment: str) -> None:
    """Each argument is invalid: the kernel would answer EINVAL, EFAULT or EBADF. The filter answers EPERM or ENOSYS."""
    attack = f"{CALLS}\nprint(json.dumps({{name: call(int(number), *[-1] * 6) for name, number in {NUMBERS}.items()}}))"
    answers = output_json(platform.run(environment, carried(environment, attack)))
    assert {name: found for name, found in answers.items() if found not in {"EPERM", "ENOSYS"}} == {}


REAL = """
name, none = ctypes.c_char_p, None
buffer = ctypes.create_string_buffer(4096)
NAMESPACES = {"mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000,
              "pid": 0x20000000, "network": 0x40000000}
SIGCHLD = 17

def cloned(flags):
    "Calls clone() with these flags; a child that it makes exits at once."
    found = call(56, flags | SIGCHLD, 0, 0, 0, 0)
    if found == 0:
        os._exit(0)
    return found

def cloned3(flags):
    found = call(435, struct.pack("<11Q", flags, 0, 0, 0, SIGCHLD, 0, 0, 0, 0, 0, 0), 88)
    if found == 0:
        os._exit(0)
    return found

attempts = {
    "mount tmpfs": lambda: call(165, name(b"none"), name(b"/tmp"), name(b"tmpfs"), 0, none),
    "mount bind": lambda: call(165, name(b"/etc"), name(b"/tmp"), none, 4096, none),
    "remount root writable": lambda: call(165, none, name(b"/"), none, 32, none),
    "unmount proc": lambda: call(166, name(b"/proc"), 2),
    "new mount interface": lambda: call(430, name(b"tmpfs"), 0),
    "pivot_root": lambda: call(155, name(b"/tmp"), name(b"/tmp")),
    "chroot": lambda: call(161, name(b"/tmp")),
    "enter a namespace by file": lambda: call(308, os.open("/proc/self/ns", os.O_RDONLY), 0),
    "enter those of PID 1": lambda: call(308, call(434, 1, 0), 0x4000000),
    "trace PID 1": lambda: call(101, 16, 1, 0, 0),
    "seize PID 1": lambda: call(101, 0x4206, 1, 0, 0),
    "keyring": lambda: call(248, name(b"user"), name(b"k"), name(b"v"), 1, -4),
    "search keys": lambda: call(249, name(b"user"), name(b"k"), none, -4),
    "bpf program": lambda: call(321, 5, buffer, 128),
    "bpf map": lambda: call(321, 0, struct.pack("<IIIII", 2, 4, 4, 1, 0), 20),
    "userfaultfd": lambda: call(323, 1),
    "io_uring": lambda: call(425, 8, buffer),
    "perf": lambda: call(298, struct.pack("<IIQ", 1, 112, 0) + bytes(96), 0, -1, -1, 0),
    "kernel log": lambda: call(103, 3, buffer, 4096),
    "file handle": lambda: call(304, -100, buffer, 0),
    "core limit of 0": lambda: call(302, 0, 4, struct.pack("<QQ", 0, 0), none),
    "core limit of 0 in 64 bits": lambda: call(302, 0, 4 + 2**32, struct.pack("<QQ", 0, 0), none),
    "device": lambda: opened(lambda: os.mknod("/tmp/disk", 0o60600, os.makedev(8, 0))),
    **{f"unshare {kind}": lambda flag=flag: call(272, flag) for kind, flag in NAMESPACES.items()},
    **{f"clone {kind}": lambda flag=flag: cloned(flag) for kind, flag in NAMESPACES.items()},
    **{f"clone3 {kind}": lambda flag=flag: cloned3(flag) for kind, flag in NAMESPACES.items()},
}
print(json.dumps({name: apart(attempt) for name, attempt in attempts.items()}))
"""


GVISOR_GRANTS = {"device"}
"""gVisor creates the device file, and has no device of the host behind it."""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_privileged_calls_are_refused(platform: Platform, environment: str, runtime: str) -> None:
    answers = output_json(platform.run(environment, carried(environment, CALLS + REAL)))
    granted = {name for name, found in answers.items() if found == "done" or not isinstance(found, str)}
    assert granted - (GVISOR_GRANTS if runtime == "runsc" else set()) == set()


SOCKETS = """
STREAM, DATAGRAM, RAW, SEQUENCED, DCCP = 1, 2, 3, 5, 6
attempts = {
    **{f"family {family}": (family, kind, 0)
       for family in range(3, 46) if family != 10 for kind in (RAW, DATAGRAM, STREAM, SEQUENCED)},
    "netlink": (16, RAW, 0), "packet": (17, RAW, 0x300), "AF_ALG": (38, SEQUENCED, 0), "vsock": (40, STREAM, 0),
    "AF_ALG in 64 bits": (38 + 2**32, SEQUENCED, 0), "vsock in 64 bits": (40 + 2**40, STREAM, 0),
    "raw": (2, RAW, 1), "raw v6": (10, RAW, 58), "raw in 64 bits": (2, RAW + 2**32, 1),
    "ping": (2, DATAGRAM, 1), "SCTP": (2, STREAM, 132), "MPTCP": (2, STREAM, 262), "UDP-Lite": (2, DATAGRAM, 136),
    "DCCP": (2, DCCP, 33), "SMC": (2, STREAM, 256), "L2TP": (2, DATAGRAM, 115),
}
print(json.dumps({name: call(41, *arguments) for name, arguments in attempts.items()}))
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_sockets_of_other_families_are_refused(platform: Platform, environment: str) -> None:
    answers = output_json(platform.run(environment, carried(environment, CALLS + SOCKETS)))
    assert {name: found for name, found in answers.items() if found != "EPERM"} == {}


WAY_OUT = """
import socket
UNREACHABLE = [(socket.AF_INET, ("1.1.1.1", 80)), (socket.AF_INET, ("172.17.0.1", 80)),
               (socket.AF_INET, ("169.254.169.254", 80)), (socket.AF_INET6, ("2606:4700:4700::1111", 80))]
HOST = ["/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/executor/executor.sock",
        "/run/systemd/private", "/run/dbus/system_bus_socket", chr(0) + "/tmp/.X11-unix/X0"]

def reach(family, kind, address):
    with socket.socket(family, kind) as probe:
        probe.settimeout(2)
        probe.connect(address)
        probe.send(b"x")

print(json.dumps({
    **{f"{address} {kind}": opened(lambda: reach(family, kind, address))
       for family, address in UNREACHABLE for kind in (1, 2)},
    **{path: opened(lambda: reach(socket.AF_UNIX, 1, path)) for path in HOST},
    "Docker by vsock": opened(lambda: reach(40, 1, (2, 2375))),
}))
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_way_out(platform: Platform, environment: str) -> None:
    answers = output_json(platform.run(environment, carried(environment, CALLS + WAY_OUT)))
    assert {name: found for name, found in answers.items() if found == "done"} == {}


OTHER_MODES_CALLS = """
i386 = {"AF_ALG": (359, 38, 5, 0), "AF_ALG by socketcall": (102, 1, 0, 0), "vsock": (359, 40, 1, 0),
        "netlink": (359, 16, 3, 0), "getpid": (20,), "unshare": (310, 0x10000000), "io_uring": (425, 8, 0),
        "keyring": (288, 0, -4 & 0xFFFFFFFF, 1), "ptrace": (26, 16, 1, 0), "memfd": (356, 0, 0)}
x32 = {"AF_ALG": (41, 38, 5, 0), "vsock": (41, 40, 1, 0), "getpid": (39,), "unshare": (272, 0x10000000),
       "ptrace": (521, 16, 1, 0), "io_uring": (425, 8, 0)}
print(json.dumps({
    **{f"i386 {name}": apart(lambda: call_i386(*arguments)) for name, arguments in i386.items()},
    **{f"x32 {name}": apart(lambda: call(number | 0x40000000, *arguments))
       for name, (number, *arguments) in x32.items()},
}))
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_32_bit_and_x32_calls_are_refused(platform: Platform, environment: str) -> None:
    answers = output_json(platform.run(environment, carried(environment, CALLS + OTHER_MODES_CALLS)))
    assert {name: found for name, found in answers.items() if not isinstance(found, str)} == {}


def test_an_i386_call_kills_its_thread(platform: Platform, runtime: str) -> None:
    """Shows that the probe works: without the profile, this code creates a socket on hosts with 32-bit calls.

    Under gVisor, the filter of the executor's container kills the host's thread, and gVisor ends the process.
    """
    attack = f"{CALLS}\nprint(json.dumps(apart(lambda: call_i386(359, 38, 5, 0))))"
    assert output_json(platform.run("python", attack)) == ("exit 1" if runtime == "runsc" else "SIGSYS")


WRITES = """
import stat
OWN_MEMORY = "/dev/shm"
own = {"/proc/self", "/proc/thread-self", f"/proc/{os.getpid()}"}
written = []
for root in ("/proc", "/sys", "/dev"):
    for folder, folders, names in os.walk(root):
        if folder == "/proc":
            folders[:] = [name for name in folders if not name.isdigit()]
        folders[:] = [name for name in folders if os.path.join(folder, name) != OWN_MEMORY]
        for name in names:
            path = os.path.join(folder, name)
            try:
                if stat.S_ISREG(os.stat(path).st_mode):
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
                    written.append(path)
            except OSError:
                pass
print(json.dumps(written))
"""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_nothing_of_proc_sys_and_dev_can_be_written(platform: Platform, environment: str) -> None:
    assert output_json(platform.run(environment, carried(environment, CALLS + WRITES))) == []


PROC_OF_PID_1 = """
def read(path):
    with open(path, "rb") as stream:
        stream.read(64)

print(json.dumps({
    **{f"/proc/1/{name}": opened(lambda: read(f"/proc/1/{name}")) for name in ("environ", "maps", "mem", "auxv")},
    **{f"/proc/1/{name}": opened(lambda: os.listdir(f"/proc/1/{name}")) for name in ("fd", "map_files")},
    "write memory": opened(lambda: os.close(os.open("/proc/1/mem", os.O_RDWR))),
    "root by PID 1": opened(lambda: os.listdir("/proc/1/root/")),
    "its output": opened(lambda: os.close(os.open("/proc/1/fd/1", os.O_WRONLY))),
    "its input": opened(lambda: os.close(os.open("/proc/1/fd/0", os.O_RDONLY))),
}))
"""


GVISOR_SHOWS = {
    *("/proc/1/environ", "/proc/1/maps", "/proc/1/auxv", "/proc/1/fd", "/proc/1/map_files"),
    *("its output", "its input"),
}
"""gVisor (release of 2022) protects only a process's memory, and has no /proc/1/map_files."""


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_proc_files_of_pid_1_are_closed(platform: Platform, environment: str, runtime: str) -> None:
    answers = output_json(platform.run(environment, carried(environment, CALLS + PROC_OF_PID_1)))
    opened = {name for name, found in answers.items() if found not in {"EACCES", "EPERM"}}
    assert opened - (GVISOR_SHOWS if runtime == "runsc" else set()) == set()


def test_a_crash_leaves_no_core_dump(platform: Platform) -> None:
    """The kernel starts no core dump helper on the host only if the limit is exactly 1 byte."""
    code = "import json, resource; print(json.dumps(resource.getrlimit(resource.RLIMIT_CORE)))"
    assert output_json(platform.run("python", code)) == [1, 1]


def test_allowed_calls_succeed_by_number(platform: Platform) -> None:
    """Shows that the numbers of the probe are right."""
    attack = f"{CALLS}\nprint(json.dumps([call(39) == os.getpid(), call(41, 1, 1, 0) > 2, call(63, bytes(390))]))"
    assert json.dumps(output_json(platform.run("python", attack))) == "[true, true, 0]"
