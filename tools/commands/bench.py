"""`make bench`: how fast the platform is, beside `docker run` and bare nsjail; with PEERS=1 beside go-judge too.

The figures are to be read; nothing is asserted. They are of a stack with another name and port, which is removed at the
end. A platform that runs already is not touched, but uses CPU meanwhile. It needs root, on the machine of the engine.
"""

import argparse
import contextlib

from infra.service import STACK_LABEL
from tools.console.steps import Report, Runner, Step
from tools.machine.preparation import Preparation
from tools.measure.bench import figures, machine, ways
from tools.measure.bench.figures import Measurements
from tools.measure.bench.platform import BenchStack

_QUIET = 0.2
"""CPUs in use on an idle machine with an idle platform. With more, something else runs."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--peers", action="store_true")


def run(options: argparse.Namespace, runner: Runner) -> None:
    preparation = Preparation()
    runner.run(preparation.steps())
    stack = BenchStack(preparation)
    plan = figures.QUICK if options.quick else figures.Plan()
    measured = Measurements(stack, plan)
    with contextlib.ExitStack() as running:
        running.callback(stack.close)

        def find_others(report: Report) -> str:
            root = stack.copy_root(ways.COMPARED)
            image = preparation.images.sandboxes()[ways.COMPARED]
            label = f"{STACK_LABEL}={stack.label}"
            others: list[ways.Way] = [ways.docker_run(preparation.engine.url, image, label)]
            others.append(running.enter_context(ways.nsjail(root, report)))
            if options.peers:
                others.append(running.enter_context(ways.go_judge(root, max(plan.clients), report)))
            for way in others:
                way.hello(ways.COMPARED)
            measured.others = others
            return ", ".join(way.name for way in others)

        steps = [Step("Up, to the first execution", stack.up), Step("To compare with", find_others)]
        runner.run([*steps, *measured.steps()])
    found = measured.figures
    for table in figures.tables(found):
        runner.table(table, numbers=range(1, len(table[0])))
    runner.say(f"\n{ways.CAPTION}")
    if (beside := found.rest[figures.REST]) > _QUIET:
        busy = f"While the platform was idle, {beside:.1f} CPUs were in use by other programs: no figure is exact."
        runner.say(f"\n{busy}", "yellow")
    loads = ", ".join(f"{load:.1f}" for load in (*found.load, machine.load()))
    runner.say(f"\nLoad of the machine before each step and at the end: {loads}.")
