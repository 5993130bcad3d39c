"""The stack and then the cluster are removed: these tests come last."""

from typing import Any

from tests.cluster.conftest import STACK, traces
from tools.console.steps import Report
from tools.machine.kubernetes import Kubernetes
from tools.stack.cluster_stack import ClusterStack


def test_destroying_the_stack_leaves_no_object_of_it(cluster: Kubernetes, stack: ClusterStack, report: Report) -> None:
    assert cluster.ours
    stack.destroy(report)
    kinds = "namespaces,validatingadmissionpolicies,validatingadmissionpolicybindings"
    assert STACK not in cluster.ours.kubectl("get", kinds, "-o", "name")


def test_the_cluster_leaves_nothing(cluster: Kubernetes, before: dict[str, Any]) -> None:
    assert cluster.ours
    assert len(cluster.ours.nodes) == 2
    cluster.ours.down()
    assert traces() == before
    assert not cluster.ours.state.exists()
