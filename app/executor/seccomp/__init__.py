"""The seccomp profiles, made from Docker's default: each sandbox's, and that of the executor's own container."""

import copy
import hashlib
import json
import platform
from functools import cache
from pathlib import Path
from typing import Any

PROFILE = Path(__file__).with_name("profile.json")
OF_THE_EXECUTOR = Path(__file__).with_name("executor.json")
_ENOSYS = 38
_RULE = ("names", "action", "errnoRet", "args")
_ARCHITECTURES = {"x86_64": ("amd64", "SCMP_ARCH_X86_64"), "aarch64": ("arm64", "SCMP_ARCH_AARCH64")}


@cache
def for_executor() -> str:
    """The profile of the executor's container in Docker's format: JSON on one line."""
    return json.dumps(json.loads(OF_THE_EXECUTOR.read_bytes()), separators=(",", ":"))


def file_on_node(profile: str) -> str:
    """The name of a profile's file below the folder of such profiles on each node of Kubernetes, by its content.

    Kubernetes has no way to hand a profile over: a node that lacks it does not start the container.
    """
    return f"vps/{hashlib.sha256(profile.encode()).hexdigest()[:12]}.json"


@cache
def for_executor_on_node() -> str:
    """The same as a node of Kubernetes reads it from a file, for the architecture of this machine."""
    return json.dumps(_for_oci(OF_THE_EXECUTOR), separators=(",", ":"))


@cache
def for_oci() -> dict[str, Any]:
    """The sandbox's profile as the OCI runtime specification has it, for the architecture of this machine."""
    return _for_oci(PROFILE)


def _for_oci(file: Path) -> dict[str, Any]:
    profile = json.loads(file.read_bytes())
    name, constant = _ARCHITECTURES[platform.machine()]
    return {
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": [constant],
        "syscalls": [
            {key: rule[key] for key in _RULE if key in rule}
            for rule in profile["syscalls"]
            if name in rule.get("includes", {}).get("arches", [name])
        ],
    }


@cache
def for_gvisor() -> dict[str, Any]:
    """The same in gVisor's words, which has one call by another name, and refuses with EPERM whatever a rule says.

    The C library takes EPERM for an answer, and makes no threads. A call that is to be traced, where no tracer is,
    ends with the ENOSYS that it looks for.
    """
    profile = copy.deepcopy(for_oci())
    for rule in profile["syscalls"]:
        if rule.pop("errnoRet", None) == _ENOSYS:
            rule["action"] = "SCMP_ACT_TRACE"
        if "pselect6" in rule["names"]:
            rule["names"].append("pselect")
    return profile
