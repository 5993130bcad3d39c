"""`make cluster`: the platform on Kubernetes, on the cluster of the kubeconfig or on one of this machine's own."""

import argparse

from app.executor import seccomp
from infra.services.packages import PACKAGES
from infra.settings import VALKEY
from tools.build import images
from tools.commands.up import TRY_THIS, show
from tools.console.steps import Report, Runner, Step, StepFailed
from tools.machine import kubernetes, pulumi_toolchain
from tools.machine.preparation import Preparation
from tools.paths import private_folder
from tools.stack import config, health, lock
from tools.stack.cluster_stack import CLUSTER, HOME, ClusterStack
from tools.stack.pulumi_stack import changes

_NODES = (1, 2)


class _Cluster(Preparation):
    kubernetes: kubernetes.Kubernetes

    def __init__(self, nodes: int, held: int) -> None:
        self._settings = config.settings(CLUSTER)
        super().__init__(self._settings.sandbox.environments)
        self._nodes = nodes
        self._held = held

    def steps(self) -> list[Step]:
        return [
            *super().steps(),
            Step("Programs", self.compile_programs),
            Step("Kubernetes", self._find_cluster),
            Step("Nodes", self._furnish),
            Step("Stack", self._configure),
            Step("Deployment", self._deploy),
            Step("Health", self._wait),
        ]

    def find_toolchain(self, report: Report) -> str:
        self.toolchain = pulumi_toolchain.ensure(report, clusters=True)
        return f"{self.toolchain.version}, {self.toolchain.origin}"

    def find_images(self, report: Report) -> str:
        self.images = images.ensure(self.engine, self.environments, report).only(self._settings.runs)
        return self.images.summary()

    def _stack(self) -> ClusterStack:
        return ClusterStack(self.toolchain, CLUSTER, home=HOME, template=CLUSTER, held=(self._held,))

    def _find_cluster(self, report: Report) -> str:
        self.kubernetes = kubernetes.of_user() or kubernetes.bring_up(self._nodes, report)
        ours = f"{self._nodes} of our own" if self.kubernetes.ours else "the kubeconfig's"
        return f"{self.kubernetes.context}, {ours}: {self.kubernetes.kubeconfig}"

    def _furnish(self, report: Report) -> str:
        """Bring to the nodes what they can't fetch themselves: images, and the executor's seccomp profile."""
        wanted = [reference for name, reference in self.images.references.items() if self._runs(name)]
        if not self.kubernetes.takes_images():
            return "the cluster pulls its images"
        loaded = self.kubernetes.load(self.engine, wanted, report)
        if ours := self.kubernetes.ours:
            ours.put(seccomp.file_on_node(seccomp.for_executor()), seccomp.for_executor_on_node())
            tls = self._settings.edge.tls
            ours.publish([self._settings.edge.http_port, *([tls.port] if tls else [])])
        return f"{len(loaded)} images loaded, {len(wanted) - len(loaded)} there already"

    def _runs(self, image: str) -> bool:
        sandbox = self._settings.sandbox
        of_sandbox = {VALKEY: sandbox.in_valkey, PACKAGES.name: sandbox.packages is not None}
        return of_sandbox.get(image, image in ("app", "executor", "traefik") or self._settings.runs(image))

    def _configure(self, report: Report) -> str:
        values = config.node_values(self.engine, self.images) if self.kubernetes.takes_images() else {}
        stack = self._stack()
        stack.configure_with({**values, "cluster": self.kubernetes.settings()}, report)
        return "; ".join(stack.mend(report)) or f"{CLUSTER}, kept in {stack.home}"

    def _deploy(self, report: Report) -> str:
        return changes(self._stack().up(report))

    def _wait(self, report: Report) -> str:
        self.outputs = self._stack().outputs(report, show_secrets=True)
        url = self.outputs["urls"]["api"]
        if refusal := health.api_refusal(url):
            raise StepFailed(f"The API does not answer: {refusal}.", "See its pods with kubectl, then run this again.")
        return f"the API answers at {url}"


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--nodes", type=int, choices=_NODES, default=1)


def run(options: argparse.Namespace, runner: Runner) -> None:
    with lock.exclusive(private_folder(HOME), "make cluster") as held:
        cluster = _Cluster(options.nodes, held)
        runner.run(cluster.steps())
    show(cluster.outputs, runner)
    runner.console.print("\nTry this next (`make cluster-down` removes it):", style="bold")
    runner.say(TRY_THIS.format(api=cluster.outputs["urls"]["api"]))
    runner.say(f"kubectl --kubeconfig={cluster.kubernetes.kubeconfig} get pods --all-namespaces")
