"""`make status`: the services, their health, and where they are reached."""

import argparse

from tools.commands.up import STACK, TEMPLATE
from tools.console import columns
from tools.console.steps import EXIT_FAILED, Report, Runner
from tools.machine import docker_engine, pulumi_toolchain
from tools.paths import HOME
from tools.stack import config, health
from tools.stack.local_stack import Stack


def run(options: argparse.Namespace, runner: Runner) -> int:
    """The exit code is 0 if every service is healthy, else 1."""
    engine = docker_engine.find(docker_engine.configured_url())
    prefix = config.settings(STACK, TEMPLATE, {}).name
    states = health.services(engine.client(), prefix) if engine else []
    if engine is None or not states:
        runner.console.print("Nothing runs. `make up` brings the platform up.")
        return EXIT_FAILED
    report = Report(HOME / "logs" / "status.log")
    urls = Stack(pulumi_toolchain.ensure(report), engine, STACK, template=TEMPLATE).outputs(report).get("urls", {})
    rows = [("service", "health", "URL", "image")]
    rows += [(it.service, it.health, urls.get(it.service, ""), _version(engine, it.image)) for it in states]
    columns.show(runner.console, rows)
    return 0 if all(state.is_well for state in states) else EXIT_FAILED


def _version(engine: docker_engine.DockerEngine, image: str) -> str:
    """The image's name in Docker, which tells its version or recipe."""
    tags = engine.client().images.get(image).tags
    return tags[0] if tags else image
