"""What is subtracted from Docker's default seccomp profile, and why.

The sandbox's other walls (no capabilities, no network, a user that is nobody) hold without this. It is there so that
a fault of the kernel behind a call that no interpreter needs is out of reach of visitors' code.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Removal:
    """System calls that fail in a sandbox, their names between spaces, and the reason."""

    names: str
    reason: str

    @property
    def calls(self) -> tuple[str, ...]:
        """The names apart."""
        return tuple(self.names.split())


@dataclass(frozen=True)
class Argument:
    """An argument of a call that must have a value. `mask` says which of its 64 bits are compared; None is all."""

    index: int
    value: int
    mask: int | None = None


@dataclass(frozen=True)
class Narrowing:
    """A call that is allowed only where all conditions of one of the `cases` hold, and the reason."""

    call: str
    cases: tuple[tuple[Argument, ...], ...]
    reason: str


OTHER_MODES = Removal(
    "_llseek _newselect arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush chown32 clock_adjtime64 "
    "clock_getres_time64 clock_gettime64 clock_nanosleep_time64 clock_settime64 fadvise64_64 fchown32 fcntl64 "
    "fstat64 fstatat64 fstatfs64 ftruncate64 futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32 "
    "getresuid32 getuid32 io_pgetevents_time64 ipc lchown32 lstat64 mmap2 mq_timedreceive_time64 "
    "mq_timedsend_time64 ppoll_time64 pselect6_time64 recv recvmmsg_time64 rt_sigtimedwait_time64 "
    "sched_rr_get_interval_time64 semtimedop_time64 send sendfile64 set_tls setfsgid32 setfsuid32 setgid32 "
    "setgroups32 setregid32 setresgid32 setresuid32 setreuid32 setuid32 sigprocmask sigreturn socketcall stime "
    "stat64 statfs64 sync_file_range2 timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 "
    "truncate64 ugetrlimit umount utimensat_time64 waitpid riscv_hwprobe",
    "They exist in 32-bit or foreign modes only, and the profile leaves the 64-bit mode alone: an i386 or x32 call "
    "kills its thread, so that no filter on arguments can be passed by on that side.",
)
"""Not to be called on amd64 and arm64 at all. They are removed so that the filter is short."""

REMOVED: tuple[Removal, ...] = (
    Removal(
        "mount umount2 mount_setattr move_mount open_tree fsopen fsconfig fsmount fspick chroot",
        "They change what the file system shows. Privileged, and a user namespace would grant the privilege.",
    ),
    Removal(
        "unshare setns sethostname setdomainname",
        "They make, enter or rename namespaces. A user namespace gives all capabilities inside, and with them most of "
        "the kernel's code that has had holes.",
    ),
    Removal(
        "ptrace process_vm_readv process_vm_writev process_madvise process_mrelease pidfd_getfd kcmp",
        "They read and control other processes. One of those is the supervisor, PID 1, which is of the same user.",
    ),
    Removal("bpf perf_event_open", "They load programs into the kernel, or watch it and the neighbours' CPUs."),
    Removal(
        "io_setup io_submit io_cancel io_destroy io_getevents io_pgetevents",
        "Asynchronous I/O takes from one pool of the whole host (fs.aio-max-nr): one sandbox could empty it for all.",
    ),
    Removal(
        "msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget",
        "System V objects outlive their processes and have limits of their own, beside those of the profile.",
    ),
    Removal(
        "mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink",
        "Message queues hold memory that the size of /tmp does not count, and need no mount to be made.",
    ),
    Removal(
        "memfd_create memfd_secret",
        "They make files outside of /tmp: beyond its size, and programs can be run from them, which /tmp forbids.",
    ),
    Removal(
        "mincore cachestat",
        "They tell which pages of the images' files are in memory. All sandboxes share those: a channel between them.",
    ),
    Removal(
        "splice tee vmsplice",
        "They pass pages of the shared page cache by reference, the way to CVE-2022-0847 and CVE-2026-31431.",
    ),
    Removal(
        "sync syncfs",
        "They make the host write back all that it holds, at no cost to the sandbox: every neighbour waits.",
    ),
    Removal(
        "name_to_handle_at open_by_handle_at fanotify_init fanotify_mark lookup_dcookie",
        "They name and watch files by number, past the mounts that a sandbox sees.",
    ),
    Removal("personality modify_ldt", "They turn off address randomisation and revive i386 addressing: no need."),
    Removal(
        "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
        "They place memory on the host's nodes, which is the host's decision.",
    ),
    Removal("adjtimex clock_adjtime clock_settime settimeofday", "They read and set the host's clock."),
    Removal("setrlimit", "prlimit64 does the same, and is narrowed below. The C library calls nothing else."),
    Removal("quotactl quotactl_fd acct", "They account for users of the whole host."),
    Removal("init_module finit_module delete_module", "They load code into the kernel."),
    Removal("reboot syslog vhangup iopl ioperm", "They belong to the host's administrator."),
    Removal(
        "lsm_get_self_attr lsm_list_modules lsm_set_self_attr",
        "They ask and set the host's security modules.",
    ),
    OTHER_MODES,
)
"""Allowed by Docker's default, to every container or to one with the right capability."""

WITHHELD: tuple[Removal, ...] = (
    Removal("io_uring_setup io_uring_enter io_uring_register", "Calls made by the kernel pass this filter by."),
    Removal("add_key keyctl request_key", "Keyrings belong to a user id, which all sandboxes share."),
    Removal("userfaultfd", "It stops the kernel in the middle of a copy: the tool of many exploits."),
    Removal("pivot_root", "It changes the root of the file system."),
    Removal("kexec_load kexec_file_load", "They replace the running kernel."),
    Removal("swapon swapoff", "They add and take the host's swap."),
    Removal("move_pages migrate_pages", "They place memory on the host's nodes."),
    Removal("nfsservctl sysfs uselib ustat", "They are obsolete, and hardly tested any more."),
)
"""Withheld by Docker's default too. Listed so that a later default that lets one in is refused by the generator."""

_UNIX, _INTERNET = 1, (2, 10)  # AF_UNIX; AF_INET and AF_INET6
_STREAM, _DATAGRAM = (1, (0, 6)), (2, (0, 17))  # the type of socket with its protocols: any, TCP; any, UDP
_TYPE = 0xF  # the argument's other bits are flags
_READ_ONLY = Argument(2, 0)  # no new limit is given
_ALL_LIMITS_BUT_CORE = ((0, 0xFFFFFFFC), (5, 0xFFFFFFFF), (6, 0xFFFFFFFE), (8, 0xFFFFFFF8))
"""Limits 0-3, 5, 6-7 and 8-15, without RLIMIT_CORE (4). Of the argument's 64 bits the kernel looks at 32, as here."""

NARROWED: tuple[Narrowing, ...] = (
    Narrowing(
        "socket",
        (
            (Argument(0, _UNIX),),
            *(
                (Argument(0, family), Argument(1, kind, mask=_TYPE), Argument(2, protocol))
                for family in _INTERNET
                for kind, protocols in (_STREAM, _DATAGRAM)
                for protocol in protocols
            ),
        ),
        "Unix sockets, TCP and UDP serve what runs in one sandbox. Any other family is code of the kernel that nothing "
        "here needs: AF_ALG (38) can write the page cache that all sandboxes share, AF_VSOCK (40) leaves the network "
        "namespace, AF_NETLINK and AF_PACKET configure and tap networks.",
    ),
    Narrowing(
        "prlimit64",
        ((_READ_ONLY,), *((Argument(1, value, mask=mask),) for value, mask in _ALL_LIMITS_BUT_CORE)),
        "A core dump may start a program on the host, outside of every limit. The sandbox's limit of 1 byte prevents "
        "it, and 0, which the kernel takes for leave to start it, must not be set. Reading any limit is free.",
    ),
)
"""Allowed by Docker's default for more arguments than these."""
