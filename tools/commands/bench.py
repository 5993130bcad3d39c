"""`make bench`: how fast the platform is, compared with `docker run`, and how long `make up` takes.

The figures are to be read; nothing is asserted. They are of a stack with another name and port, which is removed at the
end. A platform that runs already is not touched, but uses CPU meanwhile.
"""

import argparse

from tools.console import timings
from tools.console.steps import EXIT_FAILED, Report, Runner, Step
from tools.machine.preparation import Preparation
from tools.measure.bench import flags, machine, measurements, tables
from tools.measure.bench.measurements import Measurements
from tools.measure.bench.platform import BenchStack

_UP, _AGAIN = "Up, everything built, to the first execution", "Up again, nothing to change"
_QUIET = 0.2
"""CPUs in use on an idle machine with an idle platform. With more, something else runs."""


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quick", action="store_true")


def run(options: argparse.Namespace, runner: Runner) -> int:
    preparation = Preparation()
    if (prepared := runner.run(preparation.steps()))[-1].failure:
        return EXIT_FAILED
    stack = BenchStack(preparation)
    plan = measurements.QUICK if options.quick else measurements.Plan()
    measured = Measurements(stack, plan)

    def take_flags(report: Report) -> str:
        measured.prepare(preparation.engine)
        return "of the profile, given to docker run and to the docker SDK"

    try:
        ups = runner.run([Step(_UP, stack.up), Step(_AGAIN, stack.up), Step("Flags", take_flags)])
        if ups[-1].failure or runner.run(measured.steps())[-1].failure:
            return EXIT_FAILED
    finally:
        stack.close()
    _show(measured.figures, plan, runner)
    seconds = {it.step.name: it.seconds for it in ups if it.step.name in (_UP, _AGAIN)}
    preparing = sum(it.seconds for it in prepared)
    _show_ups({name: preparing + spent for name, spent in seconds.items()}, runner)
    return 0


def _show(figures: measurements.Figures, plan: measurements.Plan, runner: Runner) -> None:
    for table in (
        list(tables.latency(figures)),
        list(tables.rates(figures)),
        list(tables.arrivals(figures, plan.burst_requests)),
        list(tables.shares(figures)),
        list(tables.costs(figures)),
        list(tables.refusals(figures)),
        list(tables.failures(figures)),
    ):
        texts = 2 if table[0][1] in {"way", "to"} else 1
        runner.table(table, numbers=range(texts, len(table[0])))
    runner.say(f"\n{flags.CAPTION}")
    runner.table(tables.goal_rows(tables.goals(figures, plan.burst_requests)))
    if figures.rest and (beside := figures.rest.cpu[measurements.MACHINE]) > _QUIET:
        busy = f"While the platform was idle, {beside:.1f} CPUs were in use by other programs: no figure is exact."
        runner.say(f"\n{busy}", "yellow")
    loads = ", ".join(f"{load:.1f}" for load in (*figures.load, machine.load()))
    runner.say(f"\nLoad of the machine before each step and at the end: {loads}.")


def _show_ups(ups: dict[str, float], runner: Runner) -> None:
    rows = [("measured now", "seconds"), *((name, f"{seconds:.1f}") for name, seconds in ups.items())]
    runner.table(rows, numbers=[1])
    bare = {"Python environment": timings.environment_seconds(), **timings.longest_seconds()}
    rows = [("the longest run of each step of make up on this machine", "seconds")]
    rows += [(name, f"{seconds:.1f}") for name, seconds in bare.items()]
    rows.append(("their sum, an estimate for a bare machine", f"{sum(bare.values()):.1f}"))
    runner.table(rows, numbers=[1])
