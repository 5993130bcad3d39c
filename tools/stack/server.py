"""A server: the steps of docs/DEPLOYMENT.md on the stack of a tracked config file."""

from infra.services.catalog import running
from tools.console.steps import Report, Step, StepFailed
from tools.machine.preparation import Preparation
from tools.stack import config, health, target
from tools.stack.pulumi_stack import CONTAINER, PulumiStack, changes


class Server(Preparation):
    """The steps for the stack `name`. It neither builds images nor changes the Docker of this machine.

    Raises:
        StepFailed: there is no such stack, or its settings are not valid.
    """

    address = None
    """The edge is reached by its names."""

    def __init__(self, held: int, name: str) -> None:
        super().__init__()
        self.settings = target.settings(name)
        self._held = held
        self._name = name

    def steps(self) -> list[Step]:
        return [Step("Pulumi", self.find_toolchain), Step("Stack", self._open)]

    def up_steps(self) -> list[Step]:
        """The steps to a running platform."""
        return [*self.steps(), *self.deployment()]

    def deployment(self) -> list[Step]:
        """The last of them."""
        return [Step("Deployment", self._deploy), Step("Health", self._wait)]

    @property
    def stack(self) -> PulumiStack:
        return PulumiStack(self.toolchain, self._name, held=(self._held,))

    def _open(self, report: Report) -> str:
        """See that backend and passphrase are those of the stack, before anything else is asked of it."""
        self.stack.secret(config.GENERATED[0], report)
        return f"{self._name} of {config.template_file(self._name).name}"

    def _deploy(self, report: Report) -> str:
        stack = self.stack
        state = stack.export(report)
        dropped = stack.drop_unhealthy(state, lambda: target.docker(self.settings, report), report)
        started = ""
        if any(it["type"] == CONTAINER for it in state.get("resources", ())):
            with target.docker(self.settings, report) as engine:
                started = health.start_stopped(engine, self.settings.name)
        return "; ".join(filter(None, [dropped, started, changes(stack.up(report))]))

    def _wait(self, report: Report) -> str:
        self.outputs = self.stack.outputs(report)
        with target.docker(self.settings, report) as engine:
            done = health.wait(engine, self.outputs["name"], None, report)
            there = {state.service for state in health.services(engine.client(), self.outputs["name"])}
        if missing := {service.name for service in running(self.settings)} - there:
            raise StepFailed(
                f"{', '.join(sorted(missing))} was removed by hand, which `up` does not notice.",
                f"make refresh STACK={self._name}, then make up STACK={self._name}",
            )
        return done
