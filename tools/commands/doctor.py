"""`make doctor`: look at all that an operator would be asked for, and tell what is wrong and which runbook mends it."""

import argparse
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import docker

from infra.host import ssh
from infra.images import IMAGES_OF_OURS, UPSTREAM_IMAGES
from infra.services.backup import BACKUP
from infra.services.catalog import running
from infra.services.edge import METRICS
from infra.services.sandbox import API
from infra.settings import PlatformSettings
from tools.console.steps import EXIT_FAILED, Report, Runner, StepFailed
from tools.machine import process
from tools.paths import HOME
from tools.stack import docker_objects, doctor, health, target
from tools.stack.config import LOCAL
from tools.stack.doctor import Finding
from tools.stack.health import ServiceState
from tools.stack.pulumi_stack import PulumiStack

_ASKS_TRAEFIK = f"""
import urllib.request
print(urllib.request.urlopen("http://{METRICS.address}{METRICS.path}", timeout=5).read().decode())
"""
_FIRING = ("promtool", "query", "instant", "--format=json", "http://localhost:9090", 'ALERTS{alertstate="firing"}')


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--stack", default=LOCAL)


def run(options: argparse.Namespace, runner: Runner) -> int:
    """The exit code is 0 if nothing is wrong, else 1."""
    report = Report(HOME / "logs" / "doctor.log")
    settings = target.settings(options.stack)
    rows = [("check", "", "found", "what mends it")]
    for finding in examine(settings, lambda: target.stack(options.stack, report), report):
        rows.append((finding.check, "WRONG" if finding.is_wrong else "ok", finding.says, finding.runbook))
    runner.table(rows)
    return EXIT_FAILED if any(row[1] == "WRONG" for row in rows) else 0


def examine(settings: PlatformSettings, stack: Callable[[], PulumiStack], report: Report) -> Iterator[Finding]:
    """All findings on a stack. What can't be asked is wrong, too."""
    yield from _host(settings, report)
    try:
        with target.docker(settings, report) as engine:
            yield doctor.docker(engine.version(), engine.system())
            yield from _services(engine.client(), settings)
    except StepFailed as failure:
        yield Finding("Docker", failure.message, "docs/OPERATIONS.md#the-server-does-not-answer")
    try:
        found = stack()
        yield Finding("Pulumi", f"{found.toolchain.version}, {found.toolchain.origin}")
        drifted = found.has_drifted(report)
        says = "what is there differs from the state" if drifted else "none"
        yield Finding("drift", says, "docs/OPERATIONS.md#drift" if drifted else "")
    except StepFailed as failure:
        yield Finding("drift", failure.message, "docs/DEPLOYMENT.md#state-passphrase-stack")


def _host(settings: PlatformSettings, report: Report) -> Iterator[Finding]:
    host = settings.host
    argv = ssh.arguments(host.ssh, "sh", "-s") if host else ["sh", "-s"]
    try:
        found = doctor.facts(process.run(argv, report, stdin=doctor.script(of_ours=host is not None)))
    except process.CommandFailed as error:
        yield _unreachable(error)
        return
    now = time.time()
    yield doctor.clock(found["clock"], now)
    yield doctor.disk(found["disk"])
    if host:
        yield Finding("host key", "the pinned one")
        yield doctor.system(found["system"])
        yield doctor.firewall(found["firewall"])
        yield doctor.updates(found["updates"], now)


def _unreachable(error: process.CommandFailed) -> Finding:
    if ssh.OTHER_KEY in error.output:
        return Finding("host key", "it is not host.ssh.host_key", "docs/DEPLOYMENT.md#the-hosts-key")
    return Finding("host", error.last_line or str(error), "docs/OPERATIONS.md#the-server-does-not-answer")


def _services(client: docker.DockerClient, settings: PlatformSettings) -> Iterator[Finding]:
    states = {state.service: state for state in health.services(client, settings.name)}
    # With "notice", only `make up` knows which images this machine lacks.
    wanted = running(settings) if settings.on_unavailable == "error" else [API]
    yield doctor.services(list(states.values()), [service.name for service in wanted])
    if settings.host:
        yield doctor.images(
            {service: _names(client, state) for service, state in states.items()},
            {settings.image(name) for name in (*IMAGES_OF_OURS, *UPSTREAM_IMAGES)},
        )
    if settings.edge.tls and "api" in states:
        routes = [settings.edge.host(it.name) for it in running(settings) if it.route and it is not API]
        metrics = _said(client, states["api"], "python", "-c", _ASKS_TRAEFIK)
        yield doctor.certificates(metrics, [*settings.edge.api_hosts, *routes], time.time())
    known = _said(client, states[BACKUP.name], "cat", "/scratch/state.json") if BACKUP.name in states else "{}"
    yield doctor.backup(json.loads(known), time.time())
    if "prometheus" in states:
        yield from doctor.alerts(_said(client, states["prometheus"], *_FIRING))


def _names(client: docker.DockerClient, state: ServiceState) -> list[str]:
    image: Any = client.images.get(state.image)
    return [*image.tags, *image.attrs.get("RepoDigests", ())]


def _said(client: docker.DockerClient, state: ServiceState, *argv: str) -> str:
    """What a program prints in the container of a service.

    Raises:
        StepFailed: it fails.
    """
    code, said = docker_objects.execute(client, state.container, argv)
    if code:
        raise StepFailed(f"{state.service} can't be asked: {said[-200:]}", "")
    return said
