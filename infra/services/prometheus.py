"""Metrics: Prometheus with its rules, and its data on a volume of its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from infra.service import Config, Context, Health, Mount, Route, Service, ServiceArgs, Target, Volume, go_memory
from infra.services.blackbox import probes
from monitoring.files import load
from monitoring.prometheus.rules import rule_files

PORT = 9090
_URL = f"http://prometheus:{PORT}"
_CONFIG = "/etc/prometheus"
_DATA = "/prometheus"
_MEMORY_MB = 320


def describe(context: Context) -> ServiceArgs:
    settings = context.settings.services.prometheus
    rules = {f"rules/{name}": content for name, content in rule_files(settings.runbooks).items()}
    return ServiceArgs(
        image="prometheus",
        entrypoint=["prometheus"],
        command=[
            f"--config.file={_CONFIG}/prometheus.yml",
            f"--storage.tsdb.path={_DATA}",
            f"--storage.tsdb.retention.time={settings.retention_days}d",
            "--log.format=json",
        ],
        health=Health(["promtool", "check", "healthy", f"--url=http://localhost:{PORT}"]),
        memory_mb=_MEMORY_MB,
        cpus=1.0,
        user="65534:65534",
        networks=["monitoring"],
        environment=go_memory(_MEMORY_MB),
        config=Config(_CONFIG, {"prometheus.yml": yaml.safe_dump(_config(context)), **rules}),
        mounts=[Mount(Volume("prometheus-data"), _DATA)],
    )


PROMETHEUS = Service(
    "prometheus",
    describe,
    target=Target(f"localhost:{PORT}"),
    # It has no users of its own: the edge asks for the password.
    route=Route(_URL, "password", requests_per_minute=600),
    source=_URL,
)


def _config(context: Context) -> dict[str, Any]:
    """The content of prometheus.yml: a job for each service with metrics, and the probes as one job.

    Targets of one job have their path and relabelling in common.
    """
    config: dict[str, Any] = load(
        "prometheus/prometheus.yml", scrape_seconds=context.settings.services.prometheus.scrape_seconds
    )
    # The edge is the last of the services, and its job the first: in another order, every `up` after an upgrade would
    # replace Prometheus for nothing.
    *others, edge = context.services
    jobs: dict[str, list[Target]] = {}
    for service in (edge, *others):
        if service.target:
            jobs.setdefault(service.unit_of or service.name, []).append(service.target)
    config["scrape_configs"] = [
        _job(name, of_job) for name, of_job in {**jobs, "probe": probes(context)}.items() if of_job
    ]
    if alerts := [service.alerts_address for service in context.services if service.alerts_address]:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": alerts}]}]}
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


def _static(target: Target) -> Mapping[str, Any]:
    labels = {**{f"__param_{key}": value for key, value in target.parameters.items()}, **target.labels}
    return {"targets": [target.address], "labels": labels} if labels else {"targets": [target.address]}
