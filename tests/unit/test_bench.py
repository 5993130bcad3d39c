"""The judgements of `make bench` and `make soak`: what is too slow, wrong or more than before must be said so."""

import json
import math
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.profile import FLOOR
from app.wire.protocol import Status
from tools.measure.bench import cost, figures
from tools.measure.bench.client import Answer, Client, Lost
from tools.measure.bench.figures import GOALS, SERVICES, Figures, judged
from tools.measure.bench.load import Rate, Times
from tools.measure.bench.ways import BY_AGENT, TO_ORDER, WAITING, limits
from tools.measure.soak.processes import Reading
from tools.measure.soak.soak import growth
from tools.measure.soak.visitors import ATTACKS, KILLED, Visit

READING = Reading(process="api", pid=7, descriptors=20, threads=3, mounts=30, memory=50_000_000)
MB = 1024 * 1024
ENVIRONMENTS = ("python", "node", "bash")
OF_DOCKER, OF_NSJAIL = GOALS["at least"]


def measured() -> Figures:
    """Figures that meet every goal."""
    return Figures(
        hellos={(way, name): Times([0.005] * 20) for way in (WAITING, TO_ORDER) for name in ENVIRONMENTS}
        | {(BY_AGENT, "python"): Times([0.015] * 20)},
        cpu={(name, part): 20 for name in ENVIRONMENTS for part in (*SERVICES, figures.TOGETHER, figures.REST)},
        rates={("edge", 2): Rate(done=80, seconds=1), ("docker run", 2): Rate(done=8, seconds=1)}
        | {("nsjail", 2): Rate(done=100, seconds=1)},
        sets={figures._COLD: Times([1.0] * 8), figures._WARM: Times([0.03] * 9), figures._WITHOUT: Times([0.01] * 9)},
        prepared=1,
        crowds={"30 a second, at random": Times([0.05] * 20), "50 at once": Times([0.5] * 50)},
        memory=dict.fromkeys(("the ready sandboxes", "edge, api and executor"), 50 * MB),
        mapped=dict.fromkeys(("the ready sandboxes", "edge, api and executor"), 40 * MB),
        rest=dict.fromkeys((*SERVICES, figures.REST), 0.1),
    )


def missed(found: Figures) -> set[str]:
    return {name for name, _, _, met in judged(found) if not met}


def test_the_ways_that_are_compared_keep_the_profiles_limits() -> None:
    kept = limits(Path("/root-of-python"))
    assert {f"--pids-limit={FLOOR.pids}", f"--memory={FLOOR.memory_mb}m"} <= set(kept["docker run"])
    assert {f"--cgroup_pids_max={FLOOR.pids}", f"--cgroup_mem_max={FLOOR.memory_mb * MB}"} <= set(kept["nsjail"])
    assert (kept["go-judge"]["procLimit"], kept["go-judge"]["memoryLimit"]) == (FLOOR.pids, FLOOR.memory_mb * MB)
    assert kept["go-judge's mounts"]["mount"][0]["source"] == "/root-of-python/usr"


def test_the_table_of_costs_has_sums_of_what_observes_and_of_all() -> None:
    idle, busy = cost.Use(0.01, 20 * MB), cost.Use(0.05, 30 * MB)
    services = ("api", "loki", "prometheus")
    found = cost.Figures(
        dict.fromkeys(services, 64 * MB), dict.fromkeys(services, idle), dict.fromkeys(services, busy), Times(), (0, 0)
    )
    heading, *rows = cost.rows(found)
    assert {len(row) for row in rows} == {len(heading)}
    assert [row[0] for row in rows] == [*services, "all that observes", "all"]
    assert rows[-2:] == [
        ("all that observes", "40", "60", "128", "2.0", "10.0"),
        ("all", "60", "90", "192", "3.0", "15.0"),
    ]


@pytest.mark.parametrize(
    ("said", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", Answer(200, b"{}")),
        (b"HTTP/1.1 503 -\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", Answer(503, b"{}")),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n{}", None),
        (b"what?", None),
        (b"", None),
    ],
)
def test_an_answer_that_is_not_whole_is_lost(said: bytes, answer: Answer | None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, ThreadPoolExecutor(1) as pool:
        listener.settimeout(10)
        asking = pool.submit(Client(listener.getsockname(), 10).execute, {"code": "1"})
        with listener.accept()[0] as connection:
            connection.settimeout(10)
            while not connection.recv(4096).endswith(b'{"code": "1"}'):
                pass
            connection.sendall(said)
        assert (None if isinstance(asking.exception(), Lost) else asking.result()) == answer


def test_a_quantile_is_the_nearest_rank() -> None:
    times = Times([0.4, 0.1, 0.3, 0.2])
    assert [times.quantile(share) for share in (0.5, 0.75, 0.95)] == [200, 300, 400]
    assert math.isnan(Times().quantile(0.5))


def test_goals_within_their_bounds_are_met() -> None:
    assert missed(measured()) == set()


def test_what_was_not_measured_is_not_met() -> None:
    assert missed(Figures()) == {name for goals in GOALS.values() for name in goals}


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        ({"hellos": {(WAITING, "python"): Times([0.005] * 18 + [0.013] * 2)}}, {"python waiting, p95 ms"}),
        ({"hellos": {(BY_AGENT, "python"): Times([0.021])}}, {"ms of /mcp above /execute, p50"}),
        ({"hellos": {(TO_ORDER, "bash"): Times([0.031])}}, {"bash made to order, p50 ms"}),
        ({"cpu": {("node", figures.TOGETHER): 55.1}}, {"CPU ms of one node"}),
        ({"crowds": {"50 at once": Times([0.5] * 49, ["503"])}}, {"50 at once, p95 ms"}),
        ({"memory": {"the ready sandboxes": 91 * MB}}, {"MB of the ready sandboxes"}),
        ({"rates": {("edge", 2): Rate(done=59, seconds=1)}}, {OF_DOCKER, OF_NSJAIL}),
        ({"rates": {("edge", 1): Rate(done=900, seconds=1)}}, set()),
    ],
)
def test_a_goal_that_is_missed_is_not_met(change: dict[str, dict[object, object]], missing: set[str]) -> None:
    found = measured()
    for name, values in change.items():
        getattr(found, name).update(values)
    assert missed(found) == missing


def test_the_rate_is_that_of_all_runs_with_two_clients_and_more() -> None:
    found = measured()
    found.rates |= {("edge", 1): Rate(done=500, seconds=1), ("edge", 8): Rate(done=300, seconds=9)}
    assert found.sustained("edge") == 38


def test_the_cpu_time_of_a_hello_excludes_the_idle_use() -> None:
    assert Rate(done=10, seconds=2, cpu=3).cpu_ms(at_rest=0.5) == 200


def test_every_table_has_as_many_columns_as_its_heading() -> None:
    for heading, *rows in figures.tables(measured()):
        assert {len(row) for row in rows} <= {len(heading)}


@pytest.mark.parametrize(
    ("later", "grown"),
    [
        (READING, []),
        (replace(READING, descriptors=26, threads=5, memory=READING.memory + 8 * MB), []),
        (replace(READING, descriptors=27), ["descriptors"]),
        (replace(READING, threads=6), ["threads"]),
        (replace(READING, mounts=31), ["mounts"]),
        (replace(READING, memory=READING.memory + 8 * MB + 1), ["memory"]),
    ],
)
def test_growth_beyond_a_bound_is_a_leak(later: Reading, grown: list[str]) -> None:
    assert [problem.rpartition(" ")[2] for problem in growth(READING, later)] == grown


@pytest.mark.parametrize(
    ("status", "stdout", "right"), [("success", "abc\n", True), ("success", "xyz\n", False), ("error", "abc\n", False)]
)
def test_an_answer_must_have_the_right_status_and_output(status: str, stdout: str, right: bool) -> None:
    hello = Visit("hello", "python", "", {"success"}, "abc\n")
    body = json.dumps({"status": status, "stdout": stdout, "output": stdout, "error": None}).encode()
    assert (hello.fault(Answer(200, body)) is None) is right


def test_the_soak_expects_statuses_that_the_api_has() -> None:
    assert {KILLED, *(status for attack in ATTACKS for status in attack.ends)} <= set(Status)
