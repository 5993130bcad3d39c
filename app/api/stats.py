"""Statistics since the start of the process, in bounded memory."""

import math
import time
from collections import Counter

from app.api.operation import Document
from app.wire.problems import Code
from app.wire.protocol import ExecutionResult, ExecutorStats, Status

_STEP = 1.05
"""Ratio of neighbouring buckets of durations: a quantile is within 2.5% of the truth."""
_SHORTEST = 0.001
_BUCKETS = 256
"""Number of buckets: enough for durations from 1 ms to 4 minutes."""


class Stats(Document):
    """The answer of GET /stats. Durations are executions' wall times in seconds; null before the first."""

    uptime_seconds: float
    executions: dict[str, dict[Status, int]]
    """By environment, then by status."""
    refusals: dict[Code, int]
    """Requests that were refused, by reason."""
    median_seconds: float | None
    p95_seconds: float | None
    executor: ExecutorStats | None
    """The executor's load now; null when it is away."""


class Durations:
    """A histogram with logarithmic buckets, of fixed size however many durations it has seen."""

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS

    def add(self, seconds: float) -> None:
        """Add one duration in seconds."""
        bucket = round(math.log(max(seconds, _SHORTEST) / _SHORTEST, _STEP))
        self._counts[min(bucket, _BUCKETS - 1)] += 1

    def quantile(self, share: float) -> float | None:
        """The duration in seconds that this share (0 to 1) of all durations does not exceed; None without any."""
        rank = share * sum(self._counts)
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if count and seen >= rank:
                return round(_SHORTEST * _STEP**bucket, 4)
        return None


class Statistics:
    """Counts executions and refusals."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._executions: dict[str, Counter[Status]] = {}
        self._refusals: Counter[Code] = Counter()
        self._durations = Durations()

    def count(self, result: ExecutionResult) -> None:
        """Count an execution that has its result."""
        self._executions.setdefault(result.environment, Counter())[result.status] += 1
        self._durations.add(result.execution_time)

    def refuse(self, code: Code) -> None:
        """Count a refused request."""
        self._refusals[code] += 1

    def snapshot(self, executor: ExecutorStats | None) -> Stats:
        """All statistics until now, together with the executor's load."""
        return Stats(
            uptime_seconds=round(time.monotonic() - self._started, 3),
            executions={name: dict(counts) for name, counts in self._executions.items()},
            refusals=dict(self._refusals),
            median_seconds=self._durations.quantile(0.5),
            p95_seconds=self._durations.quantile(0.95),
            executor=executor,
        )
