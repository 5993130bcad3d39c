"""The stack on a Kubernetes cluster, with its state on this machine."""

from tools.console.steps import Report
from tools.paths import HOME as OF_ALL
from tools.stack.local_stack import HomeStack

CLUSTER = "cluster"
"""The name of the stack and of its template."""
HOME = OF_ALL / CLUSTER


class ClusterStack(HomeStack):
    """A `HomeStack` on a cluster."""

    def mend(self, report: Report) -> list[str]:
        """Repair what an interrupted command left, or a cluster that was made anew. Returns what was done."""
        done = self.unlock(report)
        if self.export(report).get("resources"):
            self.refresh(report)
            done.append("compared the state with the cluster")
        return done
