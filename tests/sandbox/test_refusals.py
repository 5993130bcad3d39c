"""A container, a host or a runtime that can't hold the profile: the executor ends with one line, the cause and the fix.

Each of the launcher's capabilities is needed: without it, a step of the real start fails.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from app.executor.launcher import WITH_HOST_USERS
from infra.services.sandbox import EXECUTOR_CAPABILITIES, EXECUTOR_ENTRYPOINT
from tests.sandbox.executor import Executor, Host

SECONDS = 60
VARIABLES = {"EXECUTOR_PROFILE": "{}", "EXECUTOR_ENVIRONMENTS": '["python"]'}
MEMORY = "/sys/fs/cgroup/memory"
AS_A_USER = ("setpriv", "--reuid=1000", "--regid=1000", "--clear-groups")
PRIVILEGES = "AppArmor profile that the platform's program gives it"


def without(capability: str) -> dict[str, Any]:
    return {"cap_add": [name for name in EXECUTOR_CAPABILITIES if name != capability]}


REFUSED: Mapping[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    **{
        f"without {name}": (without(name), ("Operation not permitted", f"the capabilities that it lacks: {name}"))
        for name in WITH_HOST_USERS.capabilities
    },
    "Docker's own seccomp profile": (
        {"security_opt": ["no-new-privileges:true", "apparmor=unconfined"]},
        ("pivot_root", PRIVILEGES),
    ),
    "a root that can be written": ({"read_only": False}, ("can be written", "read-only")),
    "nothing to write in /run": ({"tmpfs": {"/tmp": ""}}, ("Read-only file system", "a tmpfs at /run")),
    "no memory controller": (
        {"tmpfs": {"/run": "", "/tmp": "", MEMORY if Path(MEMORY).exists() else "/sys/fs/cgroup": ""}},
        ("have no", "memory", "cgroup_enable=memory"),
    ),
    "ids that are not mapped": (
        {"entrypoint": [*AS_A_USER, "unshare", "--user", "--map-root-user", *EXECUTOR_ENTRYPOINT]},
        ("user ids 100000 to 165535", "rootless", "docs/GETTING_STARTED.md"),
    ),
    "the executor without its launcher": (
        {"entrypoint": ["python", "-m", "app.executor"]},
        ("No such file or directory", PRIVILEGES),
    ),
}


@pytest.fixture
def executor(host: Host, names: Iterator[str], tmp_path: Path) -> Iterator[Executor]:
    executor = Executor(host, next(names), tmp_path / "run", VARIABLES)
    yield executor
    executor.remove()


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_hold_the_profile_is_refused_with_the_cause_and_the_fix(executor: Executor, case: str) -> None:
    options, words = REFUSED[case]
    executor.start(**options)
    code, log = executor.wait(SECONDS)
    assert code == 1
    (line,) = log.splitlines()
    assert line.startswith("The executor can't start: ")
    for word in words:
        assert word in line
