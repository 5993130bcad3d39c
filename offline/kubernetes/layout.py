"""The addresses, names and folders of the cluster, which its parts agree on."""

from dataclasses import dataclass
from pathlib import Path

CGROUP = "vps-cluster"
"""The control group of all nodes, below the root of each hierarchy."""
HOST_LINK = "vps-cluster"
"""This machine's interface to the nodes' network."""
HOST_ADDRESS = "10.98.0.1"
NODE_NETWORK_BITS = 24
PODS = "10.97.0.0/16"
PODS_BRIDGE = "pods"
"""The interface of each node to which its pods are connected."""
SERVICES = "10.96.0.0/16"
API_SERVICE = "10.96.0.1"
"""The address of the service `kubernetes`: the first one of `SERVICES`."""
DNS_SERVICE = "10.96.0.10"
DOMAIN = "cluster.local"
API_PORT = 6443
PAUSE_IMAGE = "vps/pause:1"
COREDNS_IMAGE = "vps/coredns:1"
STORAGE_CLASS = "local"
VOLUMES = 8
"""Volumes that each node offers."""


@dataclass(frozen=True)
class Node:
    """One node of the cluster whose files are in `state`. The first one runs the control plane too."""

    number: int
    state: Path

    @property
    def name(self) -> str:
        return f"node-{self.number}"

    @property
    def address(self) -> str:
        return f"10.98.0.{10 + self.number}"

    @property
    def pods(self) -> str:
        """The subnet of its pods."""
        return f"10.97.{self.number}.0/24"

    @property
    def leads(self) -> bool:
        """Whether it runs the control plane."""
        return self.number == 1

    @property
    def cgroup(self) -> str:
        return f"/{CGROUP}/{self.name}"

    @property
    def folder(self) -> Path:
        """Its files on this machine."""
        return self.state / self.name

    @property
    def etc(self) -> Path:
        """Its configuration files."""
        return self.folder / "etc"

    @property
    def log(self) -> Path:
        return self.folder / "log"


VOLUMES_FOLDER = "/var/lib/volumes"
"""The folder of its volumes as a node sees it."""


def certificates(state: Path) -> Path:
    """The folder of keys, certificates and kubeconfigs."""
    return state / "certificates"


def program(state: Path, name: str) -> str:
    """The link that starts the one executable as this program of Kubernetes."""
    return str(state / "bin" / name)


def cni(state: Path) -> Path:
    """The link to the folder with the plugins of the network."""
    return state / "cni"
