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
        settings, found = self.settings, dict(super().causes)
        if gateway := settings.gateway:
            name = f"{gateway.namespace}/{gateway.name}"
            found |= _absent("Gateway", name, "cluster.edge", "gateways --all-namespaces", "the Gateway API")
        if settings.issuer:
            found |= _absent("ClusterIssuer", settings.issuer, "cluster.issuer", "clusterissuers", "cert-manager")
            found["timed out waiting for the condition"] = (
                f"The ClusterIssuer {settings.issuer} has not issued the certificate in time.",
                f"`kubectl -n {settings.name}-edge describe certificates,certificaterequests` says why. Correct that, "
                "then run this again.",
            )
        return found

    def mend(self, report: Report) -> list[str]:
        """Repair what an interrupted command left, or a cluster that was made anew. Returns what was done."""
        done = self.unlock(report)
        if self.export(report).get("resources"):
            self.refresh(report)
            done.append("compared the state with the cluster")
        return done


def _absent(kind: str, name: str, key: str, listed: str, program: str) -> dict[str, tuple[str, str]]:
    """What to tell when an object that a setting names is not in the cluster, which may not know its kind at all."""
    return {
        f"'{name}' does not exist": (
            f"The cluster has no {kind} {name}, and {key} names it.",
            f"Name one that `kubectl get {listed}` shows, then run this again. If that knows none, install {program}.",
        )
    }
