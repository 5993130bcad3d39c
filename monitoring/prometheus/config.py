"""Prometheus' configuration, for the targets that the stack really runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """Something that serves metrics: `host:port`, and the path."""

    address: str
    path: str = "/metrics"


def prometheus_config(targets: Mapping[str, Target], scrape_seconds: int) -> dict[str, Any]:
    """The content of prometheus.yml.

    Args:
        targets: by job.
        scrape_seconds: interval between two scrapes, in seconds.
    """
    return {
        "global": {"scrape_interval": f"{scrape_seconds}s", "evaluation_interval": f"{scrape_seconds}s"},
        "scrape_configs": [
            {"job_name": job, "metrics_path": target.path, "static_configs": [{"targets": [target.address]}]}
            for job, target in targets.items()
        ],
    }
