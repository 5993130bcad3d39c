"""Endpoints about the platform: health, environments, statistics."""

from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from app.api.executor_client import ExecutorClient
from app.api.operation import Document, json_answer
from app.api.packages import PackageRules, Packages
from app.api.stats import Statistics
from app.profile import NOT_EXECUTABLE, SandboxProfile
from app.wire.problems import Refused
from app.wire.protocol import EnvironmentInfo


class Health(Document):
    """Whether code can run now. What is null is left out."""

    status: Literal["ok", "unavailable"]
    engine: Literal["reachable", "failing", "unknown"]
    active_sandboxes: int | None = None
    """Sandboxes that run an execution."""
    reason: str | None = None
    """Why not, when the status is not ok."""


class Environments(Document):
    """What can be run, and within which limits."""

    environments: tuple[EnvironmentInfo, ...]
    limits: SandboxProfile
    packages: PackageRules | None
    """What executions can ask for beside what is installed; null: nothing."""
    rooms: bool
    """Whether there are rooms."""
    notes: tuple[str, ...] = (NOT_EXECUTABLE,)
    """Sentences about what else differs from a computer of one's own."""


class Overview:
    """The endpoints."""

    def __init__(
        self, executor: ExecutorClient, statistics: Statistics, profile: SandboxProfile, packages: Packages, rooms: bool
    ) -> None:
        self._executor = executor
        self._packages = packages
        self._statistics = statistics
        self._profile = profile
        self._rooms = rooms

    async def health(self, _: Request) -> Response:
        """GET /health."""
        found = await self._health()
        return json_answer(found, 200 if found.status == "ok" else 503, exclude_none=True)

    async def environments(self, _: Request) -> Response:
        """GET /environments."""
        return json_answer(await self.found())

    async def found(self) -> Environments:
        """What can be run."""
        environments = await self._executor.environments()
        return Environments(
            environments=environments, limits=self._profile, packages=self._packages.rules, rooms=self._rooms
        )

    async def stats(self, _: Request) -> Response:
        """GET /stats."""
        try:
            load = await self._executor.stats()
        except Refused:
            load = None
        return json_answer(self._statistics.snapshot(load))

    async def _health(self) -> Health:
        try:
            found = await self._executor.health()
        except Refused as refused:
            return Health(status="unavailable", engine="unknown", reason=refused.problem.detail)
        well = found.engine == "reachable"
        return Health(
            status="ok" if well else "unavailable",
            engine=found.engine,
            active_sandboxes=found.active_sandboxes,
            # The executor's reason may contain internal details: it stays in the executor's log.
            reason=None if well else "No sandbox can be made now.",
        )
