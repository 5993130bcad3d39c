"""Settings of a Kubernetes cluster to run on. `docs/SETTINGS.md` lists all keys."""

from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork, StringConstraints, model_validator

from app.process.settings import Settings

HostName = Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")]
NOT_ON_CLUSTERS = ("collector", "node-exporter", "container-exporter", "portainer", "status")
"""Services that read Docker's files, hold its socket, or share a volume with the edge."""
NODE_PORTS = range(30000, 32768)
"""The ports that a cluster publishes on its nodes."""
_PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8")


class Units(Settings):
    """The pods of an api and an executor."""

    min: Annotated[int, Field(ge=1, le=1000)] = 1
    """Units that run at least."""
    max: Annotated[int, Field(ge=1, le=1000)] = 1
    """Units that run at most. More than `min` run by load, which the cluster's metrics server tells."""
    own_nodes: bool = False
    """Whether units run on nodes with the label `vps.units` only. They tolerate a taint of that name, which keeps other
    pods off."""

    @model_validator(mode="after")
    def _in_order(self) -> "Units":
        if self.min > self.max:
            raise ValueError(f"min is {self.min}, and max is {self.max}")
        return self


class Cluster(Settings):
    """A Kubernetes cluster that exists, in place of Docker. `name` begins the names of its namespaces."""

    kubeconfig: str | None = None
    """Path of the kubeconfig on the machine that runs Pulumi. Unset: $KUBECONFIG, else ~/.kube/config."""
    context: str | None = None
    """Context of the kubeconfig. Unset: its current one."""
    domain: HostName = "cluster.local"
    """Domain of the cluster's own names."""
    units: Units = Units()
    storage_class: str | None = None
    """Storage class of volumes. Unset: the cluster's default."""
    volume_gb: Annotated[int, Field(ge=1, le=65536)] = 10
    """Size of each volume in GiB."""
    edge: Literal["LoadBalancer", "NodePort"] = "LoadBalancer"
    """How the edge is reached: by the cluster's load balancer, or, with `NodePort`, on edge.http_port and edge.tls.port
    of every node, which must be from 30000 to 32767."""
    pod_networks: tuple[IPvAnyNetwork, ...] = Field(
        tuple(map(ip_network, _PRIVATE_NETWORKS)), min_length=1, validate_default=True
    )
    """Networks of the cluster's pods. The api takes a visitor's address only from a proxy in one of them."""
