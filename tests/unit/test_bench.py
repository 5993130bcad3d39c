"""The judgements of `make bench` and `make soak`: what is too slow, wrong or more than before must be said so."""

import json
import math
from dataclasses import replace

import pytest

from app.wire.protocol import Status
from tools.measure.bench import tables
from tools.measure.bench.client import Answer
from tools.measure.bench.load import Rate, Times
from tools.measure.bench.measurements import Figures
from tools.measure.soak.processes import Reading
from tools.measure.soak.soak import growth
from tools.measure.soak.visitors import ATTACKS, KILLED, Visit

READING = Reading(process="api", pid=7, descriptors=20, threads=3, memory=50_000_000)
MB = 1024 * 1024
MORE = "executions a second, 2 clients and more"


def figures(ours: float, theirs: float, answered: int = 50) -> Figures:
    """Every hello takes so many seconds, and as many are done in one."""
    environments = ("python", "node", "bash")
    latency = {("edge", name): Times([ours] * 20) for name in environments}
    latency |= {("docker run", name): Times([theirs] * 20) for name in environments}
    rates = {("edge", 2): Rate(done=20, seconds=20 * ours), ("docker run", 2): Rate(done=20, seconds=20 * theirs)}
    return Figures(latency=latency, rates=rates, burst=Times([ours] * answered))


def test_a_quantile_is_the_nearest_rank() -> None:
    times = Times([0.4, 0.1, 0.3, 0.2])
    assert [times.quantile(share) for share in (0.5, 0.75, 0.95)] == [0.2, 0.3, 0.4]
    assert math.isnan(Times().quantile(0.5))


def test_goals_within_their_bounds_are_met() -> None:
    assert [goal.met for goal in tables.goals(figures(0.01, 0.25), 50)] == [True] * 6


@pytest.mark.parametrize(
    ("measured", "missed"),
    [
        (figures(0.01, 0.24), {"python hello through the edge, p50"}),
        (
            figures(0.01, 0.11),
            {f"{name} hello through the edge, p50" for name in ("python", "node", "bash")}
            | {"python hello through the edge, p95"},
        ),
        (figures(0.01, 0.25, answered=49), {"a burst of 50"}),
        (replace(figures(0.01, 0.25), rates={}), {MORE}),
    ],
)
def test_a_goal_that_is_missed_or_not_measured_is_not_met(measured: Figures, missed: set[str]) -> None:
    assert {goal.name for goal in tables.goals(measured, 50) if not goal.met} == missed


def test_the_rate_is_that_of_all_runs_with_two_clients_and_more() -> None:
    measured = figures(0.1, 2.5)
    measured.rates = {
        ("edge", 1): Rate(done=500, seconds=10),
        ("edge", 2): Rate(done=80, seconds=10),
        ("edge", 8): Rate(done=110, seconds=10),
        ("docker run", 8): Rate(done=50, seconds=10),
    }
    more = next(goal for goal in tables.goals(measured, 50) if goal.name == MORE)
    assert (more.met, more.reached) == (False, "1.90 times (9.5 and 5.0)")


def test_a_goal_with_a_failed_hello_is_not_met() -> None:
    measured = figures(0.01, 0.25)
    measured.latency["edge", "node"].failures.append("503")
    assert [goal.name for goal in tables.goals(measured, 50) if not goal.met] == ["node hello through the edge, p50"]


def test_the_cpu_time_of_a_hello_excludes_the_idle_use() -> None:
    rate = Rate(done=10, seconds=2)
    rate.spent["machine"] = 3
    assert rate.cpu_ms("machine", at_rest=0.5) == 200


@pytest.mark.parametrize(
    ("later", "grown"),
    [
        (READING, []),
        (replace(READING, descriptors=26, threads=5, memory=READING.memory + 8 * MB), []),
        (replace(READING, descriptors=27), ["descriptors"]),
        (replace(READING, threads=6), ["threads"]),
        (replace(READING, memory=READING.memory + 8 * MB + 1), ["memory"]),
    ],
)
def test_growth_beyond_a_bound_is_a_leak(later: Reading, grown: list[str]) -> None:
    assert [problem.rpartition(" ")[2] for problem in growth(READING, later)] == grown


@pytest.mark.parametrize(
    ("status", "stdout", "right"), [("success", "abc\n", True), ("success", "xyz\n", False), ("error", "abc\n", False)]
)
def test_an_answer_must_have_the_right_status_and_output(status: str, stdout: str, right: bool) -> None:
    hello = Visit("hello", "python", "", frozenset({"success"}), "abc\n")
    body = json.dumps({"status": status, "stdout": stdout, "output": stdout, "error": None}).encode()
    assert (hello.fault(Answer(200, body)) is None) is right


def test_the_soak_expects_statuses_that_the_api_has() -> None:
    assert {KILLED, *(status for attack in ATTACKS for status in attack.ends)} <= set(Status)
