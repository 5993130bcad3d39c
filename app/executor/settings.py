"""The executor's settings. The only place in this process that reads the environment."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, Field, model_validator

from app.environments import ENVIRONMENTS
from app.process.settings import FROM_JSON, ProcessSettings, Settings
from app.profile import SandboxProfile
from app.runtimes import DEFAULT_RUNTIME, RUNTIMES


def _strong(profile: SandboxProfile) -> SandboxProfile:
    if weaknesses := profile.weaknesses():
        raise ValueError(f"the profile is weaker than the floor: {'; '.join(weaknesses.values())}")
    return profile


def _known_environment(name: str) -> str:
    if name not in ENVIRONMENTS:
        raise ValueError(f"there is no environment {name}; known are {', '.join(ENVIRONMENTS)}")
    return name


def _known_runtime(name: str) -> str:
    if name not in RUNTIMES:
        raise ValueError(f"there is no runtime {name!r}; known are {', '.join(RUNTIMES)}")
    return name


StrongProfile = Annotated[SandboxProfile, FROM_JSON, AfterValidator(_strong)]
"""Limits that are at least as strict as the floor, each of them."""
EnvironmentName = Annotated[str, AfterValidator(_known_environment)]


class Bounds(Settings):
    """How many sandboxes of an environment are kept ready: at least `min`, and under demand up to `max`."""

    min: int = Field(ge=0, le=64)
    max: int = Field(ge=1, le=64)

    @model_validator(mode="after")
    def _in_order(self) -> "Bounds":
        if self.min > self.max:
            raise ValueError("min is more than max")
        return self


_POOLS: Mapping[str, Bounds] = MappingProxyType(
    {name: Bounds(min=it.ready[0], max=it.ready[1]) for name, it in ENVIRONMENTS.items()}
)
"""A ready sandbox takes, by its control group without the page cache: python 3 MB, python-data 62, node 9, bash 1. So
the default pools take 78 MB at rest."""


def _with_defaults(given: dict[str, Bounds]) -> dict[str, Bounds]:
    return {**_POOLS, **given}


class ExecutorOptions(Settings):
    """The part that the operator chooses: these fields are keys of `sandbox` in the stack's config too."""

    runtime: Annotated[str, AfterValidator(_known_runtime)] = DEFAULT_RUNTIME
    """the OCI runtime that holds the sandboxes: crun, or runsc, which is gVisor (see docs/SECURITY.md)."""
    pools: Annotated[dict[EnvironmentName, Bounds], FROM_JSON, AfterValidator(_with_defaults)] = Field(
        default_factory=lambda: dict(_POOLS)
    )
    """sandboxes kept ready by environment, as in {"python": {"min": 2, "max": 6}}; one that is not named keeps its
    default."""
    concurrency: int = Field(4, ge=1, le=256)
    """sandboxes at once, from 1 to 256."""
    queue: int = Field(64, ge=0, le=4096)
    """executions that may wait for a sandbox, from 0 to 4096."""
    queue_seconds: float = Field(10, gt=0, le=60)
    """the longest wait for a sandbox, up to 60 seconds."""


class ExecutorSettings(ExecutorOptions, ProcessSettings):
    """Each field is the variable EXECUTOR_<FIELD>."""

    prefix = "EXECUTOR_"

    profile: StrongProfile
    """the JSON of a SandboxProfile, each field at least as strict as its default; {} is the floor."""
    environments: Annotated[tuple[EnvironmentName, ...], FROM_JSON] = Field(min_length=1)
    """JSON of the names of environments, as in ["python", "bash"]."""
    roots: Path = Path("/environments")
    """the folder that holds each environment's root file system by its name."""
    package_store: Path | None = None
    """the folder of the packages service's store; unset: no execution has packages."""
    socket: Path = Path("/run/executor/executor.sock")
    """the path of the Unix socket on which to serve."""
    apparmor: bool = False
    """true where the profiles of infra/host/apparmor are loaded: each sandbox is then held by both, or none is made."""
    host_users: bool = True
    """false where the container has a user namespace of its own, an uncovered /proc and control groups that it may
    write. Where it lacks one of them, the executor does not start."""
    traces: bool = False
    """true to keep spans of executions, which the api takes when it has an API_OTLP_ENDPOINT."""
