"""The results as tables, and the goals with what was achieved."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tools.measure.bench.load import Rate, Times
from tools.measure.bench.measurements import CLIENT, ENGINE, MACHINE, SANDBOXES, SERVICES, Figures
from tools.measure.bench.ways import DockerRun

Row = Sequence[object]
_EDGE, _DOCKER = "edge", DockerRun.name
_BUSY = 2
"""From this number of clients on, `docker run` uses two CPUs fully too."""
_KB = 1024
_MB = _KB * _KB
_REASONS = 5


@dataclass(frozen=True)
class Goal:
    """A goal of the platform, and what was achieved. A goal that was not measured is not met."""

    name: str
    wanted: str
    reached: str
    met: bool


def goals(figures: Figures, burst_requests: int) -> list[Goal]:
    """All goals. Ratios are to `docker run` in the same run."""
    return [
        _faster(figures, "python", 0.50, 25),
        _faster(figures, "python", 0.95, 12),
        _faster(figures, "node", 0.50, 15),
        _faster(figures, "bash", 0.50, 15),
        _more(figures),
        _answered(figures.burst, burst_requests),
    ]


def latency(figures: Figures) -> Iterator[Row]:
    """Milliseconds of a hello, from request to output. With fewer than 100 of them, the p99 is the slowest."""
    yield "a hello, one client", "way", "p50 ms", "p95 ms", "p99 ms", "n", "failed"
    for (way, environment), times in sorted(figures.latency.items(), key=lambda item: item[0][1], reverse=True):
        yield environment, way, *_quantiles(times), len(times.seconds), len(times.failures)


def rates(figures: Figures) -> Iterator[Row]:
    """Hellos per second, and the CPU time of one."""
    clients = sorted({number for _, number in figures.rates})
    yield "python hellos a second", *(f"{number} clients" for number in clients), "CPU ms each", "failed"
    for way in dict.fromkeys(way for way, _ in figures.rates):
        each = [figures.rates[way, number] for number in clients]
        cost = _number(_cost(figures, together(each), MACHINE))
        yield way, *(_number(rate.per_second) for rate in each), cost, sum(len(rate.failures) for rate in each)


def shares(figures: Figures) -> Iterator[Row]:
    """The CPU time of an execution through the edge, by part of the machine."""
    all_of_it = together([rate for (way, _), rate in figures.rates.items() if way == _EDGE])
    known = {part: _cost(figures, all_of_it, part) for part in (*SERVICES, *ENGINE, CLIENT)}
    rest = _cost(figures, all_of_it, MACHINE) - sum(known.values())
    yield "CPU of one execution through the edge", "ms"
    yield from ((part, _number(spent)) for part, spent in known.items())
    yield "shims, runc, sandboxes, kernel", _number(rest)


def arrivals(figures: Figures, burst_requests: int) -> Iterator[Row]:
    """Latency with random arrivals and in a burst."""
    yield "python hellos through the edge", "p50 ms", "p95 ms", "p99 ms", "answered", "failed"
    for per_second, times in figures.arrivals.items():
        name = f"{per_second} arrivals a second, random"
        yield name, *_quantiles(times), len(times.seconds), len(times.failures)
    name = f"{burst_requests} at once"
    yield name, *_quantiles(figures.burst), len(figures.burst.seconds), len(figures.burst.failures)


def costs(figures: Figures) -> Iterator[Row]:
    """Memory and CPU, idle and of one execution."""
    yield "cost", "figure"
    for environment, peak in figures.memory_peaks.items():
        yield f"most memory of a {environment} sandbox that says hello", _mb(peak)
    if rest := figures.rest:
        yield "ready sandboxes at rest", rest.sandboxes
        yield "their memory", _mb(rest.sandbox_memory)
        yield "memory of the engine's shims that hold them", _mb(rest.shim_memory)
        yield "their CPU at rest, of one processor", _percent(rest.cpu[SANDBOXES])
        yield "memory of edge, api and executor", _mb(rest.services_memory)
        yield "their CPU at rest, of one processor", _percent(sum(rest.cpu[service] for service in SERVICES))
        yield "CPU of the whole machine meanwhile, of one processor", _percent(rest.cpu[MACHINE])


def refusals(figures: Figures) -> Iterator[Row]:
    """What the api spends on the most expensive bodies that it refuses."""
    yield "a body that is refused", "to", "KB", "ms", "more memory", "answer, bytes", "status"
    for (path, kind), it in figures.refusals.items():
        size, spent = f"{it.size / _KB:.0f}", _number(1000 * it.seconds)
        yield kind, path, size, spent, _mb(it.memory), it.answer, it.status


def failures(figures: Figures) -> Iterator[Row]:
    """The reasons why hellos were not answered, with their numbers."""
    every: list[Times | Rate] = [*figures.latency.values(), *figures.rates.values(), *figures.arrivals.values()]
    yield "not answered, because", "times"
    counted = Counter(reason for each in [*every, figures.burst] for reason in each.failures)
    yield from counted.most_common(_REASONS)


def goal_rows(reached: Sequence[Goal]) -> Iterator[Row]:
    """The goals, and whether each is met."""
    yield "goal", "wanted", "reached", "verdict"
    yield from ((goal.name, goal.wanted, goal.reached, "met" if goal.met else "NOT MET") for goal in reached)


def together(rates: Sequence[Rate]) -> Rate:
    """The sum of several."""
    whole = Rate()
    for rate in rates:
        whole.done += rate.done
        whole.seconds += rate.seconds
        whole.spent.update(rate.spent)
        whole.failures += rate.failures
    return whole


def _faster(figures: Figures, environment: str, share: float, times: int) -> Goal:
    ours = figures.latency.get((_EDGE, environment), Times())
    theirs = figures.latency.get((_DOCKER, environment), Times())
    ratio = theirs.quantile(share) / ours.quantile(share)
    reached = f"1/{ratio:.1f}" if math.isfinite(ratio) else "nothing measured"
    name = f"{environment} hello through the edge, p{share * 100:.0f}"
    return Goal(name, f"at most 1/{times} of docker run", reached, ratio >= times and not ours.failures)


def _more(figures: Figures) -> Goal:
    ours, theirs = _sustained(figures, _EDGE), _sustained(figures, _DOCKER)
    reached = f"{ours / theirs:.2f} times ({ours:.1f} and {theirs:.1f})"
    name = f"executions a second, {_BUSY} clients and more"
    return Goal(name, "at least 2 times docker run's", reached, ours >= 2 * theirs)


def _sustained(figures: Figures, way: str) -> float:
    """Executions per second over all runs that use the CPUs fully. The best of several short runs would be chance."""
    busy = [rate for (name, clients), rate in figures.rates.items() if name == way and clients >= _BUSY]
    return together(busy).per_second


def _answered(burst: Times, requests: int) -> Goal:
    answered = len(burst.seconds)
    return Goal(f"a burst of {requests}", "all answered", f"{answered} answered", answered == requests)


def _cost(figures: Figures, rate: Rate, part: str) -> float:
    return rate.cpu_ms(part, figures.rest.cpu[part] if figures.rest else 0.0)


def _quantiles(times: Times) -> tuple[str, ...]:
    return tuple(_number(1000 * times.quantile(share)) for share in (0.50, 0.95, 0.99))


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "-"


def _mb(size: int | None) -> str:
    return "not known" if size is None else f"{size / _MB:.1f} MB"


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
