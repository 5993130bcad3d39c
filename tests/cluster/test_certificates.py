"""The cluster's cert-manager issues the edge's certificate. The tests build on each other, in order."""

import json
import socket
import ssl
from pathlib import Path
from typing import Any

import pytest

from offline.kubernetes import layout
from offline.kubernetes.cluster import Cluster
from tests.cluster.conftest import STACK
from tests.cluster.issuing import CERTIFICATE, ISSUER
from tests.waiting import until
from tools.console.steps import Report, StepFailed
from tools.stack.cluster_stack import ClusterStack

PORT = 30444
EDGE = ("-n", f"{STACK}-edge")
HOSTS = ("localhost", "traefik.localhost")


def over_https(stack: ClusterStack, issuer: str) -> ClusterStack:
    """The same stack with HTTPS, and a certificate of an issuer's."""
    overrides = {
        **stack.overrides,
        "edge": {**stack.overrides["edge"], "tls": {"port": PORT}},
        "cluster": {**stack.overrides["cluster"], "issuer": issuer},
    }
    return ClusterStack(stack.toolchain, stack.name, template=stack.template, home=stack.home, overrides=overrides)


def refusal(stack: ClusterStack, values: dict[str, Any], report: Report) -> tuple[str, str]:
    """The cause and the fix that a failing `up` names."""
    stack.configure_with(values, report)
    with pytest.raises(StepFailed) as failed:
        stack.up(report)
    return failed.value.message, failed.value.fix


def served(authority: Path, host: str = HOSTS[0]) -> str:
    """The serial number of the certificate that the edge serves for a host name, which must be of an authority's."""
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection((layout.Node(1, Path()).address, PORT), 10) as opened,
        context.wrap_socket(opened, server_hostname=host) as connection,
    ):
        found = connection.getpeercert()
        assert found
        return str(found["serialNumber"])


def edges(cluster: Cluster) -> list[tuple[str, int]]:
    """The edge's pods, and how often each was restarted."""
    items = json.loads(cluster.kubectl(*EDGE, "get", "pods", "-l", "vps.service=traefik", "-o", "json"))["items"]
    return [(it["metadata"]["name"], it["status"]["containerStatuses"][0]["restartCount"]) for it in items]


def test_a_cluster_without_cert_manager_is_told_what_it_lacks(
    stack: ClusterStack, machine_values: dict[str, Any], report: Report
) -> None:
    cause, fix = refusal(over_https(stack, ISSUER), machine_values, report)
    assert cause == f"The cluster has no ClusterIssuer {ISSUER}, and cluster.issuer names it."
    assert fix.endswith("If that knows none, install cert-manager.")


@pytest.mark.usefixtures("authority")
def test_an_issuer_that_does_not_exist_is_named_with_the_fix(
    stack: ClusterStack, machine_values: dict[str, Any], report: Report
) -> None:
    cause, fix = refusal(over_https(stack, "absent"), machine_values, report)
    assert cause == "The cluster has no ClusterIssuer absent, and cluster.issuer names it."
    assert fix.startswith("Name one that `kubectl get clusterissuers` shows")


@pytest.fixture(scope="module")
def issued(stack: ClusterStack, machine_values: dict[str, Any], authority: Path, report: Report) -> ClusterStack:
    assert authority
    made = over_https(stack, ISSUER)
    made.configure_with(machine_values, report)
    made.up(report)
    return made


def test_the_edge_serves_a_certificate_of_the_clusters_issuer(
    issued: ClusterStack, authority: Path, report: Report
) -> None:
    assert len({served(authority, host) for host in HOSTS}) == 1
    issued.preview(report, "--expect-no-changes")
    assert not issued.has_drifted(report)


@pytest.mark.usefixtures("issued")
def test_the_edge_serves_a_renewed_certificate_without_a_restart(ours: Cluster, authority: Path) -> None:
    before, running = served(authority), edges(ours)
    status = json.loads(ours.kubectl(*EDGE, "get", "certificate", CERTIFICATE, "-o", "json"))["status"]
    asked = {"type": "Issuing", "status": "True", "reason": "ManuallyTriggered", "message": "a renewal"}
    wanted = {"status": {"conditions": [*status["conditions"], asked]}}
    ours.kubectl(
        *EDGE, "patch", "certificate", CERTIFICATE, "--subresource=status", "--type=merge", "-p", json.dumps(wanted)
    )
    until(lambda: served(authority) != before or None, 180, "the renewed certificate")
    assert edges(ours) == running
