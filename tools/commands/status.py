"""`make status`: the services, their health, and where they are reached."""

import argparse

from tools.console.steps import EXIT_FAILED, Report, Runner
from tools.machine.docker_engine import DockerEngine
from tools.paths import HOME
from tools.stack import target
from tools.stack.config import LOCAL


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)


def run(options: argparse.Namespace, runner: Runner) -> int:
    """The exit code is 0 if every service is healthy, else 1."""
    report = Report(HOME / "logs" / "status.log")
    urls = target.stack(options.stack, report).outputs(report).get("urls", {})
    with target.running(options.stack, report) as (engine, states):
        rows = [("service", "health", "URL", "image")]
        rows += [(it.service, it.health, urls.get(it.service, ""), _version(engine, it.image)) for it in states]
    runner.table(rows)
    return 0 if all(state.is_well for state in states) else EXIT_FAILED


def _version(engine: DockerEngine, image: str) -> str:
    """The image's name in Docker, which tells its version or recipe."""
    tags = engine.client().images.get(image).tags
    return tags[0] if tags else image
