"""`make cost`: the CPU and memory of each service, idle and at 6 executions a second; the table in docs/OPERATIONS.md.

The figures are to be read; nothing is asserted. They are of a whole stack with another name and port, which is
removed at the end.
"""

import argparse

from tools.console.steps import Report, Runner, Step
from tools.machine.preparation import Preparation
from tools.measure.bench import cost
from tools.measure.bench.platform import BenchStack


def run(options: argparse.Namespace, runner: Runner) -> None:
    preparation = Preparation()
    programs = Step("Programs", preparation.compile_programs)
    runner.run([*preparation.steps(), programs])
    stack = BenchStack(preparation, whole=True)
    figures: list[cost.Figures] = []

    def measure(report: Report) -> str:
        figures.append(cost.measure(stack, report.say))
        return f"{len(figures[0].limits)} services"

    try:
        runner.run([Step("Up", stack.up), Step("Cost", measure)])
    finally:
        stack.close()
    _show(figures[0], runner)


def _show(figures: cost.Figures, runner: Runner) -> None:
    runner.table(cost.rows(figures), numbers=range(1, 6))
    times = figures.executions
    before, after = figures.series
    quick, slow = (f"{times.quantile(share):.0f} ms" for share in (0.5, 0.95))
    runner.say(
        f"\n{len(times.seconds)} executions answered (p50 {quick}, p95 {slow}), {len(times.failures)} not. "
        f"Series in Prometheus: {before} before them, {after} after."
    )
