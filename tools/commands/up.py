"""`make up`: bring the platform up on this machine, whatever state that is in. STACK=prod: on its server."""

import argparse
from collections.abc import Mapping
from typing import Any

from offline.gomodules import GoBuild
from tools.build import images
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.machine import preflight
from tools.machine.preparation import Preparation
from tools.paths import HOME
from tools.stack import config, health, lock
from tools.stack.config import LOCAL
from tools.stack.local_stack import Stack
from tools.stack.passwords import Address
from tools.stack.pulumi_stack import changes
from tools.stack.server import Server

TRY_THIS = """curl -s {api}/execute -H 'content-type: application/json' \\
  -d '{{"environment":"python","code":"print(\\"Hello, World!\\")"}}'"""


class LocalStack(Preparation):
    """The steps of `make up`: those that prepare the machine, then those of its stack."""

    def __init__(self, held: int, *, only_core: bool = False) -> None:
        super().__init__()
        self._held = held
        self._only_core = only_core

    def steps(self) -> list[Step]:
        return [Step("This machine", self._check), *super().steps(), Step("Stack", self._configure)]

    def up_steps(self) -> list[Step]:
        """The steps to a running platform, or to its core if `rest_steps` follow."""
        return [*self.steps(), *self._deployment()]

    def rest_steps(self) -> list[Step]:
        """The steps from a running core to the whole platform."""
        compiled = Step("Programs", self.compile_programs)
        return [compiled, Step("Stack", self._configure), *self._deployment()]

    @property
    def rest(self) -> list[GoBuild]:
        """The programs that are compiled after the core runs."""
        return [] if self._only_core else [program for _, program in self.images.uncompiled]

    @property
    def address(self) -> Address:
        """Where the edge answers, whose names need not resolve."""
        return self.stack.settings.edge.addresses[0]

    @property
    def stack(self) -> Stack:
        return Stack(self.toolchain, LOCAL, self.engine, held=(self._held,))

    def find_images(self, report: Report) -> str:
        """If the platform runs, all programs are compiled first, so that no service is missing meanwhile. Else the
        core is brought up first."""
        settings = config.settings()
        self.images = images.ensure(self.engine, settings.sandbox.environments, report, settings.runs)
        self.images = self.images.only(settings.runs)
        services = health.services(self.engine.client(), settings.name)
        answers = any(state.service == "api" and state.is_well for state in services)
        return self.compile_programs(report) if answers and not self._only_core else self.images.summary()

    def _deployment(self) -> list[Step]:
        return [Step("Deployment", self._deploy), Step("Health", self._wait)]

    def _check(self, report: Report) -> str:
        return preflight.check(config.settings(), config.template_file(LOCAL))

    def _configure(self, report: Report) -> str:
        self.stack.configure(self.images, report)
        done = self.stack.mend(report)
        if started := health.start_stopped(self.engine, self.stack.prefix):
            done.append(started)
        return "; ".join(done) or f"{LOCAL}, kept in {HOME}"

    def _deploy(self, report: Report) -> str:
        done = changes(self.stack.up(report))
        removed = images.remove_superseded(self.engine, self.images)
        cleaned = f"; superseded images removed: {len(removed)}" if removed else ""
        return done + cleaned

    def _wait(self, report: Report) -> str:
        self.outputs = self.stack.outputs(report, show_secrets=True)
        return health.wait(self.engine, self.stack.prefix, self.outputs["urls"]["api"], report)


def deployment(stack: str, held: int) -> LocalStack | Server:
    """The steps for this machine's stack, or for that of a server."""
    return LocalStack(held) if stack == LOCAL else Server(held, stack)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)
    parser.add_argument("--core", action="store_true")


def run(options: argparse.Namespace, runner: Runner) -> None:
    if options.stack == LOCAL:
        _local(options, runner)
    elif options.core:
        raise StepFailed("`core` is for this machine.", f"Run make up STACK={options.stack}")
    else:
        _server(options.stack, runner)


def _server(stack: str, runner: Runner) -> None:
    with lock.exclusive(HOME, "make up") as held:
        server = Server(held, stack)
        runner.run(server.up_steps())
    show(server.outputs, runner)
    runner.console.print(f"\n`make outputs STACK={stack}` shows the passwords.")


def _local(options: argparse.Namespace, runner: Runner) -> None:
    with lock.exclusive(HOME, "make up") as held:
        local = LocalStack(held, only_core=options.core)
        runner.run(local.up_steps())
        if local.rest:
            _announce(local, runner)
            runner.run(local.rest_steps())
    show(local.outputs, runner)
    runner.console.print("\nTry this next (`make status`, `make logs` and `make down` are the rest):", style="bold")
    runner.say(TRY_THIS.format(api=local.outputs["urls"]["api"]))


def _announce(local: LocalStack, runner: Runner) -> None:
    waits = "; ".join(f"{program.title}, {program.duration}" for program in local.rest)
    runner.say(
        f"\nThe API answers at {local.outputs['urls']['api']}. The rest is compiled now, once for a machine: "
        f"{waits}. You can interrupt it: `make up` resumes.\n",
        "bold",
    )


def show(outputs: Mapping[str, Any], runner: Runner) -> None:
    """Print the URL and the login of each service. Pulumi may have masked the passwords."""
    passwords = outputs["passwords"]
    rows = [("service", "URL", "user", "password")]
    for service, url in outputs["urls"].items():
        if login := outputs["logins"].get(service):
            password = passwords if isinstance(passwords, str) else passwords[login["secret"]]
            rows.append((service, url, login["user"], password))
        else:
            rows.append((service, url, "", ""))
    runner.table(rows)
    for notice in outputs["notices"]:
        runner.say(f"{notice}.", "yellow")
