"""`make cluster-down`: remove the platform from the cluster, and the cluster if it is ours."""

import argparse

from tools.console.steps import Report, Runner, Step
from tools.machine import kubernetes, pulumi_toolchain
from tools.paths import private_folder
from tools.stack import lock
from tools.stack.cluster_stack import CLUSTER, HOME, ClusterStack
from tools.stack.local_stack import config_file, forget


def run(options: argparse.Namespace, runner: Runner) -> None:
    with lock.exclusive(private_folder(HOME), "make cluster-down") as held:
        ours = kubernetes.our_cluster()

        def destroy(report: Report) -> str:
            if not config_file(HOME, CLUSTER).exists():
                return "there is none"
            if ours.nodes:
                return "goes with the cluster"
            if kubernetes.of_user():
                toolchain = pulumi_toolchain.ensure(report, clusters=True)
                stack = ClusterStack(toolchain, CLUSTER, home=HOME, template=CLUSTER, held=(held,))
                stack.unlock(report)
                stack.destroy(report)
            return "destroyed the resources in its state"

        def end(report: Report) -> str:
            ours.down()
            forget(HOME, CLUSTER)
            return "nothing of it is left"

        runner.run([Step("Stack", destroy), Step("Kubernetes", end)])
