"""What the OCI runtime is told of a sandbox: its `config.json`, by the OCI runtime specification 1.0.2."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from app.environments import SHM, TMP
from app.executor import apparmor as apparmor_profiles
from app.executor import seccomp
from app.profile import SandboxProfile
from app.wire.protocol import Terminal

INIT, PROBE = "/init", "/probe"
"""Programs in the root of each sandbox: its PID 1, and the one that tries its limits. See images/executor/."""
ENVIRON = ("PATH=/usr/local/bin:/usr/bin:/bin", f"HOME={TMP}", "LANG=C.UTF-8")
_MB = 1024 * 1024
_TERMINALS = 16
_SHM_MB = 16
_SIGNALS = 256
"""Pending signals of one sandbox. Those of all sandboxes count against the owner of their user namespace too."""
_HIDDEN = (
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/pressure",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
)
"""What newer versions of Docker hide by default, and /proc/pressure: a write there sets a trigger on the host."""
_READ_ONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_NO_CORE = 1
"""The one size, in bytes, at which the kernel neither writes a core file nor starts the host's core_pattern helper."""
_NAMESPACES = ("ipc", "mount", "network", "pid", "uts")
_CAPABILITIES = ("ambient", "bounding", "effective", "inheritable", "permitted")


def configuration(
    profile: SandboxProfile,
    command: Sequence[str],
    variables: Mapping[str, str],
    *,
    root: Path,
    tmp: Path,
    user: int,
    own_kernel: bool,
    apparmor: bool,
    terminal: Terminal | None = None,
) -> str:
    """The configuration, as JSON, of a sandbox whose root and /tmp are mounted at these places of this process.

    `variables` are added to the environment variables that each sandbox has. `user` is its user and group id. With
    `own_kernel`, the host can't count the processes inside. With `apparmor`, a profile of its own holds it on top of
    the executor's: with no_new_privileges, the kernel lets none be exchanged.
    """
    pids = [_rlimit("NPROC", profile.pids)] if own_kernel else []
    size = ["-t", str(terminal.columns), str(terminal.rows)] if terminal else []
    environ = [*ENVIRON, *(f"{name}={value}" for name, value in variables.items())]
    own = {
        "ociVersion": "1.0.2",
        "root": {"path": str(root), "readonly": profile.read_only_root},
        "hostname": "sandbox",
        "process": {
            "user": {"uid": user, "gid": user, "umask": 0o022},
            "args": [INIT, *size, *command],
            "env": [*environ, "TERM=xterm-256color"] if terminal else environ,
            "cwd": TMP,
            "capabilities": {kind: [] for kind in _CAPABILITIES},
            "noNewPrivileges": profile.no_new_privileges,
            **({"apparmorProfile": f"&{apparmor_profiles.SANDBOX}"} if apparmor else {}),
            "rlimits": [
                *pids,
                _rlimit("CORE", _NO_CORE),
                _rlimit("FSIZE", profile.tmp_mb * _MB),
                _rlimit("MSGQUEUE", 0),
                _rlimit("SIGPENDING", _SIGNALS),
            ],
        },
        "mounts": _file_systems(tmp),
    }
    return f'{json.dumps(own)[:-1]}, "linux": {_linux(own_kernel)}}}'


@cache
def _linux(own_kernel: bool) -> str:
    """The part that all sandboxes have in common, as JSON: encoding it each time took longer than all else here."""
    return json.dumps(
        {
            "namespaces": [{"type": kind} for kind in _NAMESPACES],
            "maskedPaths": list(_HIDDEN),
            "readonlyPaths": list(_READ_ONLY),
            "seccomp": seccomp.for_gvisor() if own_kernel else seccomp.for_oci(),
        }
    )


def _file_systems(tmp: Path) -> list[dict[str, Any]]:
    closed = ["nosuid", "noexec", "nodev"]
    return [
        _mount("/proc", "proc", *closed),
        _mount("/sys", "sysfs", *closed, "ro"),
        _mount("/dev", "tmpfs", *closed[:2], "mode=755", "size=64k"),
        _mount("/dev/pts", "devpts", *closed[:2], "newinstance", "ptmxmode=0666", "mode=0620", f"max={_TERMINALS}"),
        _mount(SHM, "tmpfs", *closed, "mode=1777", f"size={_SHM_MB}m"),
        {"destination": TMP, "type": "bind", "source": str(tmp), "options": ["bind", *closed]},
    ]


def _mount(place: str, kind: str, *options: str) -> dict[str, Any]:
    return {"destination": place, "type": kind, "source": kind, "options": list(options)}


def _rlimit(name: str, value: int) -> dict[str, Any]:
    return {"type": f"RLIMIT_{name}", "soft": value, "hard": value}
