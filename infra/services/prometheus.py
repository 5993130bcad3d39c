"""Metrics: Prometheus with its rules, and its data on a volume of its own."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from app.backup.settings import Copying
from infra.cluster import BY_LOAD, UNIT, UNITS
from infra.service import Config, Context, Health, Mount, Route, Service, ServiceArgs, Target, Volume, go_memory
from infra.services.blackbox import probes
from infra.settings import PlatformSettings
from monitoring.files import load, render
from monitoring.prometheus.rules import rule_files

PORT = 9090
URL = f"http://prometheus:{PORT}"
UNITS_LOAD = "units_load"
"""The metric of the executions that run or wait on a cluster, as a number of busy units."""
_CONFIG = "/etc/prometheus"
_DATA = "/prometheus"
_MEMORY_MB = 320
# Blocks are never changed, and the log and the chunks of the last hours only grow until a block is made of them.
_COPYING = Copying(steady=("*/meta.json", "wal/checkpoint.*/*"))


def describe(context: Context) -> ServiceArgs:
    settings = context.settings.services.prometheus
    files = {f"rules/{name}": content for name, content in rules(context.settings).items()}
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
        config=Config(_CONFIG, {"prometheus.yml": yaml.safe_dump(_config(context)), **files}),
        mounts=[Mount(Volume("prometheus-data", copying=_COPYING), _DATA)],
    )


def rules(settings: PlatformSettings) -> dict[str, str]:
    """The text of each file of rules by its name."""
    found = rule_files(settings.services.prometheus.runbooks)
    if settings.cluster and settings.cluster.units.scaled_by in BY_LOAD:
        found["units.yml"] = render(
            "prometheus/units.yml",
            metric=UNITS_LOAD,
            namespace=f"{settings.name}-{UNITS}",
            deployment=UNIT,
            concurrency=settings.sandbox.concurrency,
        )
    return found


PROMETHEUS = Service(
    "prometheus",
    describe,
    target=Target(f"localhost:{PORT}"),
    # It has no users of its own: the edge asks for the password.
    route=Route(URL, "password", requests_per_minute=600),
    source=URL,
)


def _config(context: Context) -> dict[str, Any]:
    """The content of prometheus.yml: a job for each service with metrics, and the probes as one job.

    Targets of one job have their port, path and relabelling in common.
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
        _job(name, of_job, context) for name, of_job in {**jobs, "probe": probes(context)}.items() if of_job
    ]
    if alerts := [service.alerts_address for service in context.services if service.alerts_address]:
        config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": alerts}]}]}
    return config


def _job(name: str, targets: Sequence[Target], context: Context) -> dict[str, Any]:
    port = int(targets[0].address.partition(":")[2])
    job: dict[str, Any] = {"job_name": name, "metrics_path": targets[0].path}
    if names := {each: it for it in targets if (each := context.orchestrator.each(it.address.partition(":")[0]))}:
        seconds = f"{context.settings.services.prometheus.scrape_seconds}s"
        job["dns_sd_configs"] = [{"names": [*names], "type": "A", "port": port, "refresh_interval": seconds}]
        if found := [_labelled(each, *label) for each, it in names.items() for label in it.labels.items()]:
            job["relabel_configs"] = found
    else:
        job["static_configs"] = [_static(target) for target in targets]
    if targets[0].relabel:
        job["metric_relabel_configs"] = [dict(rule) for rule in targets[0].relabel]
    return job


def _labelled(name: str, label: str, value: str) -> dict[str, Any]:
    """A rule that gives a label to the targets that were found by this name."""
    found = {"source_labels": ["__meta_dns_name"], "regex": re.escape(name)}
    return {**found, "target_label": label, "replacement": value}


def _static(target: Target) -> Mapping[str, Any]:
    labels = {**{f"__param_{key}": value for key, value in target.parameters.items()}, **target.labels}
    return {"targets": [target.address], "labels": labels} if labels else {"targets": [target.address]}
