"""The stack on a Kubernetes cluster, with its state on this machine."""

from collections.abc import Mapping

from tools.console.steps import Report
from tools.paths import HOME as OF_ALL
from tools.stack.local_stack import HomeStack

CLUSTER = "cluster"
"""The name of the stack and of its template."""
HOME = OF_ALL / CLUSTER


class ClusterStack(HomeStack):
    """A `HomeStack` on a cluster."""

    @property
    def causes(self) -> Mapping[str, tuple[str, str]]:
        if not (gateway := self.settings.gateway):
            return super().causes
        named = f"{gateway.namespace}/{gateway.name}"
        return {
            **super().causes,
            'no matches for kind "Gateway"': (
                "The cluster has no Gateway API, and cluster.edge names a Gateway.",
                "Install the API and an implementation, or set cluster.edge to LoadBalancer or NodePort, then run this "
                "again.",
            ),
            f"'{named}' does not exist": (
                f"cluster.edge names the Gateway {named}, and the cluster has none of that name.",
                "Name one that `kubectl get gateways --all-namespaces` shows, then run this again.",
            ),
        }

    def mend(self, report: Report) -> list[str]:
        """Repair what an interrupted command left, or a cluster that was made anew. Returns what was done."""
        done = self.unlock(report)
        if self.export(report).get("resources"):
            self.refresh(report)
            done.append("compared the state with the cluster")
        return done
