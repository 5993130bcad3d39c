"""`make logs`: the services' logs, followed on a terminal."""

import argparse
import threading
from typing import Any

from rich.text import Text

from tools.commands.up import STACK, TEMPLATE
from tools.console.steps import Runner, StepFailed
from tools.machine import docker_engine
from tools.machine.docker_engine import DockerEngine
from tools.stack import config, health
from tools.stack.health import ServiceState

_LINES = 50


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--service")


def run(options: argparse.Namespace, runner: Runner) -> int:
    engine = docker_engine.find(docker_engine.configured_url())
    prefix = config.settings(STACK, TEMPLATE, {}).name
    states = health.services(engine.client(), prefix) if engine else []
    if engine is None or not states:
        raise StepFailed("Nothing runs, so there are no logs.", "`make up` brings the platform up.")
    chosen = [state for state in states if options.service in (None, state.service)]
    if not chosen:
        names = ", ".join(state.service for state in states)
        raise StepFailed(f"There is no service {options.service}.", f"The services are: {names}.")
    width = max(len(state.service) for state in chosen)
    readers = [threading.Thread(target=_read, args=(engine, state, width, runner), daemon=True) for state in chosen]
    for reader in readers:
        reader.start()
    try:
        for reader in readers:
            reader.join()
    except KeyboardInterrupt:  # this is how the user ends it
        return 0
    return 0


def _read(engine: DockerEngine, state: ServiceState, width: int, runner: Runner) -> None:
    container = engine.client().containers.get(state.container)
    lines: Any = container.logs(stream=True, follow=runner.console.is_terminal, tail=_LINES)
    for line in lines:
        text = line.decode(errors="replace").rstrip()
        runner.console.print(
            Text(f"{state.service:{width}} | ", style="cyan").append(text, style="default"), soft_wrap=True
        )
