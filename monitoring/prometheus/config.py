"""Prometheus' configuration, for the targets that the stack really runs."""

from collections.abc import Mapping
from typing import Any


def prometheus_config(targets: Mapping[str, str], scrape_seconds: int) -> dict[str, Any]:
    """The content of prometheus.yml.

    Args:
        targets: `host:port` by job, each serving /metrics.
        scrape_seconds: interval between two scrapes, in seconds.
    """
    return {
        "global": {"scrape_interval": f"{scrape_seconds}s", "evaluation_interval": f"{scrape_seconds}s"},
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [target]}]} for job, target in targets.items()
        ],
    }
