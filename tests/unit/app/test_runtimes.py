"""The container that each OCI runtime is asked for, and a Docker that starts a runtime with other arguments."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from app.executor.docker_workshop import DockerWorkshop, Pattern, UnfitRuntime
from app.profile import FLOOR
from app.runtimes import RUNTIMES

pytestmark = pytest.mark.anyio


class FakeApi:
    """A Docker that starts each runtime with `arguments`, or knows none. It creates nothing, and keeps the request."""

    def __init__(self, arguments: Sequence[str] | None = None) -> None:
        self._arguments = arguments
        self.asked: Mapping[str, Any] = {}

    async def runtime_arguments(self, name: str) -> Sequence[str] | None:
        return self._arguments

    async def create(self, name: str, body: Mapping[str, Any]) -> Sequence[str]:
        self.asked = body["HostConfig"]
        raise _Made

    async def remove(self, name: str) -> None:
        return None


class _Made(Exception):
    pass


def workshop(runtime: str, api: Any) -> DockerWorkshop:
    pattern = Pattern(FLOOR, {"python": "image"}, "vps-test", runtime)
    return DockerWorkshop(api, pattern)


async def asked_of(runtime: str) -> Mapping[str, Any]:
    api = FakeApi()
    with pytest.raises(_Made):
        await workshop(runtime, api).make("python")
    return api.asked


@pytest.mark.parametrize("runtime", ["runc", "crun"])
async def test_the_host_counts_the_processes_of_runtimes_that_share_its_kernel(runtime: str) -> None:
    asked = await asked_of(runtime)
    assert asked["PidsLimit"] == FLOOR.pids
    assert asked["Ulimits"] == [{"Name": "core", "Soft": 1, "Hard": 1}]
    assert "SCMP_ACT_TRACE" not in str(asked["SecurityOpt"])


async def test_gvisor_counts_the_processes_itself_and_the_host_leaves_room_for_its_threads() -> None:
    asked = await asked_of("runsc")
    assert {"Name": "nproc", "Soft": FLOOR.pids, "Hard": FLOOR.pids} in asked["Ulimits"]
    assert asked["PidsLimit"] == RUNTIMES["runsc"].host_pids(FLOOR.pids) > FLOOR.pids
    unlike = {"PidsLimit", "Ulimits", "SecurityOpt", "Runtime"}
    others = await asked_of("runc")
    assert {key: value for key, value in asked.items() if key not in unlike} == {
        key: value for key, value in others.items() if key not in unlike
    }


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (None, "does not know it"),
        ([], "starts it with none"),
        (["--network=none"], "starts it with --network=none"),
        (["--network=none", "--oci-seccomp=false"], "starts it with --network=none --oci-seccomp=false"),
    ],
)
async def test_a_docker_that_starts_gvisor_with_other_arguments_is_refused_with_the_fix(
    arguments: list[str] | None, found: str
) -> None:
    with pytest.raises(UnfitRuntime, match=found) as caught:
        await workshop("runsc", FakeApi(arguments)).check()
    assert (
        '{"runtimes": {"runsc": {"path": "/usr/bin/runsc", "runtimeArgs": ["--oci-seccomp", "--network=none"]}}}'
    ) in str(caught.value)


@pytest.mark.parametrize(
    ("runtime", "arguments"),
    [("runsc", ["--platform=kvm", "--network=none", "--oci-seccomp"]), ("runc", None), ("crun", None)],
)
async def test_a_docker_with_the_arguments_is_accepted(runtime: str, arguments: list[str] | None) -> None:
    await workshop(runtime, FakeApi(arguments)).check()
