"""The Kubernetes that `make cluster` uses: the one that the user's kubeconfig points at, else one of our own."""

import os
import platform
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from offline import programs
from offline.gomodules import BuildError
from offline.kubernetes import cluster as own
from offline.kubernetes.cluster import Build, Cluster, ClusterError
from tools.build.images import compiled
from tools.console.steps import Report, StepFailed
from tools.machine import debian, process
from tools.machine.docker_engine import DockerEngine
from tools.paths import cache

_DEFAULT_KUBECONFIG = "~/.kube/config"
_LOADERS: tuple[tuple[str, Callable[[str, str], list[str]]], ...] = (
    ("kind-", lambda name, image: ["kind", "load", "docker-image", image, "--name", name]),
    ("k3d-", lambda name, image: ["k3d", "image", "import", image, "--cluster", name]),
    ("minikube", lambda _, image: ["minikube", "image", "load", image]),
)
"""How a cluster on this machine takes an image from Docker, by how the name of its context begins."""
_SECONDS_TO_EXPORT = 600
"""Docker packs a whole image before it sends the first byte."""
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


@dataclass(frozen=True)
class Kubernetes:
    """A cluster that answers: its kubeconfig, the context in that, and ours if it is."""

    kubeconfig: str
    context: str
    ours: Cluster | None = None

    def settings(self) -> dict[str, Any]:
        """The part of `cluster` in the settings that tells where it is."""
        return {"kubeconfig": self.kubeconfig, "context": self.context}

    def takes_images(self) -> bool:
        """Whether images can come from this machine's Docker. Other clusters pull them from a registry."""
        return self.ours is not None or self._loader() is not None

    def load(self, engine: DockerEngine, references: Iterable[str], report: Report) -> list[str]:
        """Bring images from Docker to the nodes. Returns those that were not there yet.

        Raises:
            StepFailed: a node does not take one.
        """
        loaded = []
        for reference in references:
            if self.ours and not self.ours.has_image(reference):
                report.say(f"loading {reference}")
                try:
                    self.ours.load(engine.client(_SECONDS_TO_EXPORT).api.get_image(reference))
                except ClusterError as error:
                    raise StepFailed(str(error), "Make room on this disk, then run this again.") from error
                loaded.append(reference)
            elif loader := self._loader():
                report.say(f"loading {reference}")
                with process.explained(f"{self.context} did not take {reference}.", "See the log.", report):
                    process.run(loader(reference), report)
                loaded.append(reference)
        return loaded

    def _loader(self) -> Callable[[str], list[str]] | None:
        for prefix, command in _LOADERS:
            if self.context.startswith(prefix):
                return lambda image: command(self.context.removeprefix(prefix), image)
        return None


def of_user() -> Kubernetes | None:
    """The cluster of the kubeconfig's current context; None where there is none.

    Raises:
        StepFailed: the kubeconfig can't be read.
    """
    for place in os.environ.get("KUBECONFIG", _DEFAULT_KUBECONFIG).split(os.pathsep):
        file = Path(place).expanduser()
        try:
            content = yaml.safe_load(file.read_text()) if place and file.is_file() else None
        except (OSError, yaml.YAMLError) as error:
            message = f"The kubeconfig {file} can't be read: {error}"
            raise StepFailed(message, "Correct it, or unset KUBECONFIG.") from error
        if isinstance(content, dict) and (context := content.get("current-context")):
            return Kubernetes(str(file), str(context))
    return None


def our_cluster() -> Cluster:
    """The cluster that `make cluster` brings up on this machine, whether or not it runs."""
    return Cluster(cache() / "cluster")


def bring_up(nodes: int, report: Report) -> Kubernetes:
    """Our own cluster with this number of nodes, compiled first if this machine has never done that.

    Raises:
        StepFailed: this machine can't run it, it can't be compiled, or a part of it did not start.
    """
    if sys.platform != "linux" or os.geteuid() != 0:
        raise StepFailed(
            "A Kubernetes of our own needs Linux, and root: its nodes are namespaces.",
            "Make a cluster with kind, k3d or minikube, so that the kubeconfig points at it, then run this again.",
        )
    debian.ensure(own.PROGRAMS, report)
    try:
        wanted = (programs.KUBERNETES, programs.CNI, programs.NETPOL)
        kubernetes, cni, netpol = (compiled().ensure(it, report.log, report.say) for it in wanted)
        ours = our_cluster()
        ours.up(nodes, Build(kubernetes, cni, netpol, _ARCHITECTURES[platform.machine()]), report.say)
    except BuildError as error:
        message = f"Kubernetes can't be compiled: {error}"
        raise StepFailed(message, "Correct that, then run this again.", error.log) from error
    except ClusterError as error:
        raise StepFailed(f"The cluster did not start: {error}", "See its logs, then run this again.") from error
    return Kubernetes(str(ours.kubeconfig), "vps", ours)
