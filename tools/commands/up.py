"""`make up`: from whatever state the machine is in to a running platform."""

import argparse

from rich.text import Text

from tools import columns, health, images, lock, preflight, stack_config, timings
from tools.paths import HOME
from tools.prepare import Preparation
from tools.stack import Stack
from tools.steps import EXIT_FAILED, Report, Runner, Step

STACK = TEMPLATE = "local"
TRY_THIS = """curl -s {api}/execute -H 'content-type: application/json' \\
  -d '{{"environment":"python","code":"print(\\"Hello, World!\\")"}}'"""


class LocalStack(Preparation):
    """The steps of the stack on this machine, after those that make the machine ready."""

    def __init__(self, held: int) -> None:
        self._held = held

    def steps(self) -> list[Step]:
        return [Step("This machine", self._check), *super().steps(), Step("Stack", self._configure)]

    def up_steps(self) -> list[Step]:
        return [*self.steps(), Step("Deployment", self._deploy), Step("Health", self._wait)]

    @property
    def stack(self) -> Stack:
        return Stack(self.toolchain, self.engine, STACK, template=TEMPLATE, held=(self._held,))

    def _check(self, report: Report) -> str:
        settings = stack_config.settings(STACK, TEMPLATE, {})
        return preflight.check(settings, stack_config.template_file(TEMPLATE))

    def _configure(self, report: Report) -> str:
        self.stack.configure(self.images, report)
        done = self.stack.mend(report)
        return "; ".join(done) or f"{STACK}, kept in {HOME}"

    def _deploy(self, report: Report) -> str:
        said = self.stack.up(report).splitlines()
        removed = images.remove_superseded(self.engine, self.images)
        cleaned = f"; superseded images removed: {len(removed)}" if removed else ""
        return _changes(said) + cleaned

    def _wait(self, report: Report) -> str:
        self.outputs = self.stack.outputs(report, show_secrets=True)
        return health.wait(self.engine, self.stack.prefix, self.outputs["urls"]["api"], report)


def run(options: argparse.Namespace, runner: Runner) -> int:
    with lock.exclusive(HOME, "make up") as held:
        local = LocalStack(held)
        results = runner.run(local.up_steps())
    timings.record(results)
    if results[-1].failure:
        return EXIT_FAILED
    _show(local, runner)
    return 0


def _show(local: LocalStack, runner: Runner) -> None:
    passwords = local.outputs["passwords"]
    rows = [("service", "URL", "user", "password")]
    for service, url in local.outputs["urls"].items():
        login = local.outputs["logins"].get(service)
        rows.append((service, url, login["user"], passwords[login["secret"]]) if login else (service, url, "", ""))
    runner.console.print()
    columns.show(runner.console, rows)
    for notice in local.outputs["notices"]:
        runner.console.print(Text(f"{notice}."), style="yellow", soft_wrap=True)
    runner.console.print("\nTry this next (`make status`, `make logs` and `make down` are the rest):", style="bold")
    runner.console.print(Text(TRY_THIS.format(api=local.outputs["urls"]["api"])), soft_wrap=True)


def _changes(said: list[str]) -> str:
    """The engine's own count of what it did, from the last summary that it printed."""
    start = max((number for number, line in enumerate(said) if line.startswith("Resources:")), default=len(said))
    counts = [line.strip() for line in said[start + 1 :] if line.startswith("    ")]
    return ", ".join(counts) or "done"
