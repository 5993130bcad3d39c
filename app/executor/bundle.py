"""What the OCI runtime is told of a sandbox: its `config.json`, by the OCI runtime specification 1.0.2."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from app.environments import TMP
from app.executor import apparmor as apparmor_profiles
from app.executor import seccomp
from app.profile import SandboxProfile
from app.wire.protocol import Terminal

INIT, PROBE = "/init", "/probe"
"""Programs in the root of each sandbox: its PID 1, and the one that tries its limits. See images/executor/."""
_MB = 1024 * 1024
COMMON = tomllib.loads(Path(__file__).with_suffix(".toml").read_text())
"""What all sandboxes have in common, in the structure of a config.json."""
SYSFS = "/mnt"
"""Where images/executor/enter.c mounts the sysfs of a sandbox's network, for runtimes without a kernel of their own."""
_READ_ONLY = ["nosuid", "noexec", "nodev", "ro"]


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
    common = COMMON["process"]
    limits = [*common["rlimits"], _rlimit("FSIZE", profile.tmp_mb * _MB)]
    environ = [*common["env"], *(f"{name}={value}" for name, value in variables.items())]
    args = [INIT, *command]
    if terminal:
        args[1:1] = ["-t", str(terminal.columns), str(terminal.rows)]
        environ.append("TERM=xterm-256color")
    process = {
        **common,
        "user": {**common["user"], "uid": user, "gid": user},
        "args": args,
        "env": environ,
        "noNewPrivileges": profile.no_new_privileges,
        "rlimits": [*limits, _rlimit("NPROC", profile.pids)] if own_kernel else limits,
    }
    if apparmor:
        process["apparmorProfile"] = f"&{apparmor_profiles.SANDBOX}"
    files = {"destination": TMP, "type": "bind", "source": str(tmp), "options": ["bind", "nosuid", "noexec", "nodev"]}
    system = {"destination": "/sys", "type": "bind", "source": SYSFS, "options": ["bind", *_READ_ONLY]}
    if own_kernel:
        system = {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": _READ_ONLY}
    own = {
        **COMMON,
        "root": {"path": str(root), "readonly": profile.read_only_root},
        "process": process,
        "mounts": [*COMMON["mounts"], system, files],
    }
    del own["linux"]
    return f'{json.dumps(own)[:-1]}, "linux": {_linux(own_kernel)}}}'


@cache
def _linux(own_kernel: bool) -> str:
    """The part that all sandboxes have in common, as JSON: encoding it each time took longer than all else here."""
    common = COMMON["linux"]
    if own_kernel:
        namespaces = [*common["namespaces"], {"type": "network"}]
        return json.dumps({**common, "namespaces": namespaces, "seccomp": seccomp.for_gvisor()})
    return json.dumps({**common, "seccomp": seccomp.for_oci()})


def _rlimit(name: str, value: int) -> dict[str, Any]:
    return {"type": f"RLIMIT_{name}", "soft": value, "hard": value}
