"""The exporter's settings. The only place in this process that reads the environment."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from app.process.settings import FROM_JSON, ProcessSettings


class ContainersSettings(ProcessSettings):
    """Each field is the variable CONTAINERS_<FIELD>."""

    prefix = "CONTAINERS_"

    stack: str
    """the value of the label vps.stack of the containers to report."""
    cgroup_version: Annotated[Literal[1, 2], FROM_JSON]
    """the version of the host's control groups, 1 or 2."""
    namespaces: Annotated[tuple[str, ...], FROM_JSON] = ()
    """the stack's namespaces on a cluster; none on Docker."""
    files: Path = Path("/host/containers")
    """where Docker's folder of containers is mounted, or a kubelet's of links to their logs."""
    cgroups: Path = Path("/host/cgroup")
    """where the host's control groups are mounted; those of version 1 in a folder for each controller."""
    port: int = Field(9400, ge=1, le=65535)
    """the port on which to serve the metrics."""
