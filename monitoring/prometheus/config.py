"""Prometheus' configuration, for the targets that the stack really runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

RULES = "rules"
"""The folder of the rules, beside prometheus.yml."""


@dataclass(frozen=True)
class Target:
    """Something that serves metrics: `host:port`, the path, and how its series are changed before they are kept.

    `parameters` go into the query. `labels` come on top of `job`; where they name the `instance`, it isn't the address.
    """

    address: str
    path: str = "/metrics"
    parameters: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    relabel: Sequence[Mapping[str, Any]] = ()


def prometheus_config(
    targets: Mapping[str, Sequence[Target]], scrape_seconds: int, alertmanager: str | None = None
) -> dict[str, Any]:
    """The content of prometheus.yml.

    Args:
        targets: by job. Those of one job have their path and relabelling in common.
        scrape_seconds: interval between two scrapes, and between two evaluations of the rules, in seconds.
        alertmanager: its `host:port`; None where alerts are shown and sent nowhere.
    """
    config: dict[str, Any] = {
        "global": {"scrape_interval": f"{scrape_seconds}s", "evaluation_interval": f"{scrape_seconds}s"},
        "rule_files": [f"{RULES}/*.yml"],
        "scrape_configs": [_job(name, of_job) for name, of_job in targets.items() if of_job],
    }
    if alertmanager:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [alertmanager]}]}]}
    return config


def _job(name: str, targets: Sequence[Target]) -> dict[str, Any]:
    job: dict[str, Any] = {
        "job_name": name,
        "metrics_path": targets[0].path,
        "static_configs": [_static(target) for target in targets],
    }
    if targets[0].relabel:
        job["metric_relabel_configs"] = [dict(rule) for rule in targets[0].relabel]
    return job


def _static(target: Target) -> dict[str, Any]:
    labels = {**{f"__param_{key}": value for key, value in target.parameters.items()}, **target.labels}
    return {"targets": [target.address], "labels": labels} if labels else {"targets": [target.address]}
