"""`make down`: remove the platform; its data only with VOLUMES=1. STACK=prod: what is on its server, if confirmed."""

import argparse

from tools.console.steps import Report, Runner, Step, StepFailed
from tools.machine import docker_engine
from tools.machine.preparation import Preparation
from tools.paths import HOME
from tools.stack import config, docker_objects, lock, target
from tools.stack.config import LOCAL
from tools.stack.local_stack import Stack, config_file, forget
from tools.stack.pulumi_stack import changes
from tools.stack.server import Server


class _Down(Preparation):
    def __init__(self, options: argparse.Namespace, held: int) -> None:
        super().__init__()
        self._options = options
        self._held = held
        self._prefix = config.settings().name

    def steps(self) -> list[Step]:
        steps = [Step("Docker", self.find_engine)]
        made = config_file(HOME, LOCAL).exists()
        if made and not self._options.forget:
            steps += [Step("Pulumi", self.find_toolchain), Step("Stack", self._destroy)]
        steps.append(Step("Docker objects", self._remove))
        if self._options.engine:
            steps.append(Step("Stop Docker", docker_engine.stop))
        return steps

    def find_engine(self, report: Report) -> str:
        """The Docker that runs: none is installed or started."""
        url = docker_engine.configured_url()
        engine = docker_engine.find(url)
        if engine is None:
            raise StepFailed(
                f"No Docker answers at {url}, so the platform in it can't be removed.",
                "Start it (`make up` starts an installed one), then run this again.",
            )
        self.engine = engine
        return f"{engine.version()} at {url}"

    def _destroy(self, report: Report) -> str:
        stack = Stack(self.toolchain, LOCAL, self.engine, held=(self._held,))
        stack.mend(report)
        stack.destroy(report)
        return "destroyed the resources in its state"

    def _remove(self, report: Report) -> str:
        client = self.engine.client()
        data = docker_objects.remove_all(client, self._prefix)
        if self._options.volumes:
            docker_objects.remove_volumes(client, data)
        if self._options.forget:
            forget(HOME, LOCAL)
        left = docker_objects.find(client, self._prefix)
        if left:
            raise StepFailed(f"Still there: {', '.join(left.names)}.", "Run this again.", report.log)
        kept = f"; kept its data: {', '.join(left.volumes)} (VOLUMES=1 removes it too)" if left.volumes else ""
        return f"nothing of {self._prefix} is left{kept}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)
    parser.add_argument("--confirm")
    parser.add_argument("--volumes", action="store_true")
    parser.add_argument("--engine", action="store_true")
    parser.add_argument("--forget", action="store_true")


def run(options: argparse.Namespace, runner: Runner) -> None:
    (_local if options.stack == LOCAL else _server)(options, runner)


def _server(options: argparse.Namespace, runner: Runner) -> None:
    if options.volumes or options.engine or options.forget:
        raise StepFailed(
            f"VOLUMES, ENGINE and FORGET are for the stack on this machine, and not for {options.stack}.",
            "docs/DEPLOYMENT.md, Destroying, tells how the data of a server is removed.",
        )
    name = target.settings(options.stack).name
    if options.confirm is None and runner.console.is_terminal:
        options.confirm = runner.console.input(f"Remove everything of {name} but its data? Type {options.stack}: ")
    if options.confirm != options.stack:
        raise StepFailed(
            f"Not confirmed, so {name} stays as it is.", f"make down STACK={options.stack} CONFIRM={options.stack}"
        )
    with lock.exclusive(HOME, "make down") as held:
        server = Server(held, options.stack)

        def destroy(report: Report) -> str:
            return changes(server.stack.destroy(report))

        runner.run([*server.steps(), Step("Removal", destroy)])


def _local(options: argparse.Namespace, runner: Runner) -> None:
    with lock.exclusive(HOME, "make down") as held:
        runner.run(_Down(options, held).steps())
    if docker_engine.daemon_pid():
        runner.console.print("The Docker that `make up` started still runs; `make down ENGINE=1` stops it.")
