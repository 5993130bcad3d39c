"""What is known of the last backup and the last drill: a file that outlives the process, and figures of it.

`python -m app.backup now` writes it too, beside the process that serves the figures.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

_MEANINGS = {
    "backup_last_success_time_seconds": "When the newest complete backup was made, in seconds since 1970.",
    "backup_last_duration_seconds": "How long the last backup took, in seconds.",
    "backup_last_bytes": "The size of what the last backup holds, in bytes.",
    "backup_drill_last_time_seconds": "When the last drill ended, in seconds since 1970.",
    "backup_drill_passed": "1 if the last drill restored the newest backup, else 0.",
}


class State(Collector):
    """The value of each figure by name. What never happened has none, but for the time of the newest backup: 0."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def read(self) -> dict[str, float]:
        """All values."""
        kept = json.loads(self._file.read_text()) if self._file.exists() else {}
        return {"backup_last_success_time_seconds": 0.0, **kept}

    def write(self, **values: float) -> None:
        """Change some values."""
        following = self._file.with_suffix(f".{os.getpid()}")
        following.write_text(json.dumps({**self.read(), **values}))
        following.replace(self._file)

    def collect(self) -> Iterator[Metric]:
        """The figures now."""
        for name, value in self.read().items():
            yield GaugeMetricFamily(name, _MEANINGS[name], value=value)


def families() -> list[Metric]:
    """Every metric, without a sample."""
    return [GaugeMetricFamily(name, meaning) for name, meaning in _MEANINGS.items()]
