"""What the APIs of other services share: each translates a request into an `Execution`."""

from collections.abc import Mapping

from starlette.requests import Request

from app.api.executions import Executions
from app.process.connection import while_connected
from app.profile import SandboxProfile
from app.wire.admission import admit, build, read_body
from app.wire.problems import Code
from app.wire.protocol import EnvironmentInfo, Execution, ExecutionResult


class Backend:
    """Runs executions for the API of another service. `profile` has their limits."""

    def __init__(self, executions: Executions, profile: SandboxProfile) -> None:
        self.profile = profile
        self._executions = executions

    async def body(self, request: Request) -> bytes:
        """The body of a request that is within the client's rate limit; otherwise `Refused`."""
        await self._executions.admit(request)
        return await read_body(request, self.profile)

    async def environments(self) -> tuple[EnvironmentInfo, ...]:
        """The environments that the executor serves."""
        return await self._executions.executor.environments()

    def refused(self, code: Code) -> None:
        """Count a refused request."""
        self._executions.metrics.refused(code)

    def execution(self, fields: Mapping[str, object]) -> Execution:
        """The execution with these fields; `Refused` when POST /execute would refuse it too."""
        execution = build(Execution, fields)
        admit(execution, self.profile)
        return execution

    async def run(self, request: Request, fields: Mapping[str, object]) -> ExecutionResult:
        """The result of the execution with these fields."""
        said = await while_connected(request, self._executions.run(self.execution(fields)))
        return said.message
