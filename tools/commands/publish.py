"""`make publish`: push our own images to a registry, and write their digests into a stack's config."""

import argparse

import yaml

from app.environments import ENVIRONMENTS
from infra.images import IMAGES_OF_OURS
from tools.build import publish
from tools.console.steps import Report, Runner, Step
from tools.machine import process
from tools.machine.preparation import Preparation
from tools.stack import target
from tools.stack.config import PLATFORM
from tools.stack.pulumi_stack import operators_environment


class _Publication(Preparation):
    def __init__(self, registry: str, stack: str | None) -> None:
        super().__init__(ENVIRONMENTS)
        self._registry = registry
        self._stack = stack
        self.published: dict[str, str] = {}

    def steps(self) -> list[Step]:
        steps = [*super().steps(), Step("Push", self._push)]
        return [*steps, Step("Config", self._name)] if self._stack else steps

    def find_images(self, report: Report) -> str:
        """The images of the stack's environments, or of all environments when no stack is named."""
        if self._stack:
            self.environments = target.settings(self._stack).sandbox.environments
        return super().find_images(report)

    def _push(self, report: Report) -> str:
        ours = {name: image for name, image in self.images.references.items() if name in IMAGES_OF_OURS}
        self.published = publish.push(self.engine.client(), ours, self._registry, report)
        return f"{len(ours)} images are in {self._registry}"

    def _name(self, report: Report) -> str:
        """Write the digests with Pulumi's own command, which keeps the file's comments."""
        environment = operators_environment(self.toolchain)
        message = f"The images are pushed, but Pulumi.{self._stack}.yaml could not be changed."
        fix = "Fix what Pulumi reports (most often the stack is in another backend), then run this again."
        for name, reference in self.published.items():
            set_one = ["config", "set", "--stack", str(self._stack), "--path", f"{PLATFORM}.images.{name}", reference]
            with process.explained(message, fix, report):
                process.run([str(self.toolchain.pulumi), *set_one], report, environment=environment)
        return f"Pulumi.{self._stack}.yaml names their digests"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--registry", required=True)
    parser.add_argument("--stack")


def run(options: argparse.Namespace, runner: Runner) -> None:
    publication = _Publication(options.registry, options.stack)
    try:
        runner.run(publication.steps())
    finally:
        if publication.published:
            runner.say(yaml.safe_dump({"images": publication.published}, width=200))
