"""`make soak`: many executions while the executor is killed twice and Docker is restarted once under it.

It uses a Docker daemon of its own, so that the machine's is not touched. It needs root.
"""

import argparse
from dataclasses import astuple

from tools.console.steps import EXIT_FAILED, Report, Runner, Step
from tools.machine.own_docker import OwnDocker
from tools.machine.preparation import Preparation
from tools.measure.soak.processes import Processes
from tools.measure.soak.soak import Soak

_MB = 1024 * 1024


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--executions", type=int, default=10_000)


def run(options: argparse.Namespace, runner: Runner) -> int:
    preparation = Preparation()
    needed = [Step("Docker", preparation.find_engine), Step("Images", preparation.find_images)]
    runner.run(needed)
    environments, image = preparation.environments, preparation.images.references["executor"]
    own = OwnDocker(live_restore=True)
    processes = Processes(own.engine, image, environments)
    soak = Soak(processes, own, environments, options.executions)

    def start(report: Report) -> str:
        own.start()
        own.take_images(preparation.engine, [image])
        return own.engine.url

    try:
        runner.run([Step("A Docker of its own", start), Step("Soak", soak.run)])
    finally:
        processes.close()
        own.close()
        _show(soak, runner)
        problems = soak.problems()
        for problem in problems:
            runner.say(problem, "red")
    if problems:
        return EXIT_FAILED
    runner.console.print("\nNothing has leaked, and every request was answered or refused with a reason.")
    return 0


def _show(soak: Soak, runner: Runner) -> None:
    tally = soak.tally
    rows: list[tuple[object, ...]] = [("what became of the requests", "number"), *sorted(tally.answered.items())]
    rows.append(("ended by a kill of the test, and reported so", tally.cut))
    rows += [(f"refused: {code}", number) for code, number in sorted(tally.refused.items())]
    rows.append(("lost or wrong", len(tally.faults)))
    runner.table(rows, numbers=[1])
    heading = ("at rest, after executions", "ready", "process", "id", "descriptors", "threads", "mounts", "memory MB")
    readings = [(rest, astuple(reading)) for rest in soak.rests for reading in rest.readings]
    rests = [(rest.executions, rest.ready, *figures, f"{memory / _MB:.1f}") for rest, (*figures, memory) in readings]
    runner.table([heading, *rests], numbers=(1, 3, 4, 5, 6, 7))
