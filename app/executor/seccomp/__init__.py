"""The seccomp profile of every sandbox: Docker's default with what `removed.py` lists subtracted."""

import json
from functools import cache
from pathlib import Path

PROFILE = Path(__file__).with_name("profile.json")
_ENOSYS = 38


@cache
def load() -> str:
    """The profile as the Docker Engine's API takes it: `SecurityOpt` `seccomp=<this>`, for amd64 and arm64 engines."""
    return json.dumps(json.loads(PROFILE.read_bytes()), separators=(",", ":"))


@cache
def load_for_gvisor() -> str:
    """The same in gVisor's words, which has one call by another name, and refuses with EPERM whatever a rule says.

    The C library takes EPERM for an answer, and makes no threads. A call that is to be traced, where no tracer is,
    ends with the ENOSYS that it looks for.
    """
    profile = json.loads(load())
    for rule in profile["syscalls"]:
        if rule.pop("errnoRet", None) == _ENOSYS:
            rule["action"] = "SCMP_ACT_TRACE"
        if "pselect6" in rule["names"]:
            rule["names"].append("pselect")
    return json.dumps(profile, separators=(",", ":"))
