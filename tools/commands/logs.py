"""`make logs`: the services' logs, followed on a terminal."""

import argparse
import contextlib
import threading
from typing import Any

from rich.text import Text

from tools.console.steps import Report, Runner, StepFailed
from tools.machine.docker_engine import DockerEngine
from tools.paths import HOME
from tools.stack import target
from tools.stack.config import LOCAL
from tools.stack.health import ServiceState

_LINES = 50


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)
    parser.add_argument("--service")


def run(options: argparse.Namespace, runner: Runner) -> None:
    with target.running(options.stack, Report(HOME / "logs" / "logs.log")) as (engine, states):
        chosen = [state for state in states if options.service in (None, state.service)]
        if not chosen:
            names = ", ".join(state.service for state in states)
            raise StepFailed(f"There is no service {options.service}.", f"The services are: {names}.")
        width = max(len(state.service) for state in chosen)
        readers = [threading.Thread(target=_read, args=(engine, state, width, runner), daemon=True) for state in chosen]
        for reader in readers:
            reader.start()
        with contextlib.suppress(KeyboardInterrupt):  # this is how the user ends it
            for reader in readers:
                reader.join()


def _read(engine: DockerEngine, state: ServiceState, width: int, runner: Runner) -> None:
    container = engine.client().containers.get(state.container)
    lines: Any = container.logs(stream=True, follow=runner.console.is_terminal, tail=_LINES)
    for line in lines:
        text = line.decode(errors="replace").rstrip()
        runner.console.print(
            Text(f"{state.service:{width}} | ", style="cyan").append(text, style="default"), soft_wrap=True
        )
