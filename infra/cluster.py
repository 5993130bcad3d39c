"""Settings of a Kubernetes cluster to run on. `docs/SETTINGS.md` lists all keys."""

from collections.abc import Mapping
from ipaddress import ip_network
from typing import Annotated, Literal

from pydantic import Field, IPvAnyNetwork, StringConstraints, model_validator

from app.process.settings import Settings

HostName = Annotated[str, StringConstraints(max_length=253, pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$")]
NOT_ON_CLUSTERS = ("portainer", "status", "openbao")
"""Services that hold Docker's socket, or share volumes with other services."""
NamespaceName = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$")]
UNITS = "units"
UNIT = "sandbox"
"""The Deployment of the units, and the label `vps.service` of their pods."""
ROOMS_UNIT = "sandbox-rooms"
"""The StatefulSet of the unit that has the rooms, and the label `vps.service` of its pod."""
BY_LOAD = ("adapter", "keda")
"""What changes the number of units by the executions that run or wait."""
ADAPTER = "prometheus-adapter"
"""The service by which a stack on a cluster may learn how many units its load takes."""
NAMESPACES = ("edge", UNITS, "store", "monitoring", "nodes", "scaling", "packages")
"""Those of a stack, by trust, without its name before them. In `nodes` are services that read their node's files, in
`scaling` the one that answers the cluster's API server, in `packages` the one that reaches the package indexes."""
NODE_PORTS = range(30000, 32768)
"""The ports that a cluster publishes on its nodes."""
_PRIVATE_NETWORKS = ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8")


class Units(Settings):
    """The pods of an api and an executor. Between `min` and `max`, as many run as their load takes. Where rooms are on,
    the unit that has them comes on top."""

    min: Annotated[int, Field(ge=1, le=1000)] = 1
    """Units that run at least."""
    max: Annotated[int, Field(ge=1, le=1000)] = 1
    """Units that run at most."""
    by: Literal["adapter", "keda", "cpu"] = "adapter"
    """What their load is. `adapter`: the executions that run or wait, as Prometheus knows them, by a prometheus-adapter
    that the stack brings. `keda`: the same, by the cluster's KEDA. `cpu`: processors in use, by its metrics server."""
    keda_namespace: NamespaceName = "keda"
    """Namespace of the cluster's KEDA, which may ask Prometheus."""
    calm_seconds: Annotated[int, Field(ge=0, le=3600)] = 300
    """Seconds of less load after which a unit is drained."""
    own_nodes: bool = False
    """Whether units run on nodes with the label `vps.units` only. They tolerate a taint of that name, which keeps other
    pods off."""
    isolation: Literal["launcher", "cluster"] = "launcher"
    """Who keeps the executor's users apart from the node's. `launcher`: its launcher, as on Docker. `cluster`: the
    cluster, by a user namespace for each unit; the launcher then has no capability on the node, and refuses a cluster
    that gives none."""
    runtime_class: NamespaceName | None = None
    """Runtime class that gives the units' pods control groups that they may write. Unset: all pods have them."""

    @model_validator(mode="after")
    def _fits_together(self) -> "Units":
        if self.min > self.max:
            raise ValueError(f"min is {self.min}, and max is {self.max}")
        if self.runtime_class and self.isolation != "cluster":
            raise ValueError("runtime_class is for isolation: cluster. Set both, or neither")
        return self

    @property
    def scaled_by(self) -> str | None:
        """What changes their number; None when nothing does."""
        return self.by if self.max > self.min else None


class Operator(Settings):
    """A Prometheus Operator that the cluster has. The stack makes ServiceMonitors and PrometheusRules for it, and its
    dashboards as ConfigMaps, as Grafana's sidecar reads them."""

    namespace: NamespaceName = "monitoring"
    """Namespace of its Prometheus, which may ask the services."""
    url: Annotated[str, StringConstraints(pattern=r"^https?://\S+$")] = "http://prometheus-operated.monitoring.svc:9090"
    """URL of its Prometheus, which scaling by load asks."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels by which it selects ServiceMonitors and PrometheusRules, as in {release: kube-prometheus-stack}."""
    dashboard_label: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9./_-]+$")] = "grafana_dashboard"
    """Label of the ConfigMaps with dashboards, whose value is 1."""


class Gateway(Settings):
    """A Gateway of the cluster's own edge (Gateway API), which leads visitors to the stack's."""

    name: NamespaceName
    """Its name."""
    namespace: NamespaceName
    """Its namespace."""
    listeners: tuple[HostName, ...] = Field(min_length=1)
    """Names of its listeners that take the host names, and HTTPRoutes of the namespace `<name>-edge`."""
    https: bool = True
    """Whether visitors speak HTTPS to these listeners. The certificates are the Gateway's."""
    port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Port of these listeners, for URLs. Unset: 443, or 80 without `https`."""
    proxies: NamespaceName | tuple[IPvAnyNetwork, ...] | None = Field(None, min_length=1)
    """What carries its traffic: the pods of a namespace, or networks. Nobody else may connect to the edge, or tell it a
    visitor's address. Unset: the pods of its own namespace."""
    timeouts: bool = True
    """Whether routes ask it to set no time limit on requests. False: it refuses a route that has `timeouts`."""


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
    edge: Literal["LoadBalancer", "NodePort"] | Gateway = "LoadBalancer"
    """How the edge is reached: by the cluster's load balancer; with `NodePort`, on edge.http_port and edge.tls.port of
    every node, which must be from 30000 to 32767; or by a Gateway (`name`, `namespace`, ...)."""
    issuer: HostName | None = None
    """Name of a ClusterIssuer of the cluster's cert-manager, which issues the certificate for the host names. Unset: by
    ACME the edge gets its own, as `edge.tls` says, or the Gateway has them."""
    operator: Operator | None = None
    """The cluster's own monitoring. Unset: the stack's Prometheus watches it."""
    pod_networks: tuple[IPvAnyNetwork, ...] = Field(
        tuple(map(ip_network, _PRIVATE_NETWORKS)), min_length=1, validate_default=True
    )
    """Networks of the cluster's pods. The api takes a visitor's address only from a proxy in one of them."""

    @property
    def gateway(self) -> Gateway | None:
        """The Gateway in front of the edge."""
        return self.edge if isinstance(self.edge, Gateway) else None

    @property
    def proxies(self) -> list[str]:
        """The networks of the Gateway's proxies; empty without one."""
        if not self.gateway:
            return []
        named = self.gateway.proxies
        return [str(it) for it in (named if isinstance(named, tuple) else self.pod_networks)]

    def check_monitoring(self, prometheus: bool, unavailable: Mapping[str, str]) -> None:
        """Raise ValueError if nothing tells of the units' load, or if two would.

        Args:
            prometheus: whether the stack's own is switched on.
            unavailable: services whose image is not available, each with the reason.
        """
        if self.operator and prometheus:
            raise ValueError("cluster.operator has a Prometheus of its own. Set services.prometheus.enabled: false")
        by = self.units.scaled_by
        if by in BY_LOAD and not self.operator and (not prometheus or "prometheus" in unavailable):
            raise ValueError(f"cluster.units.by is {by}, and services.prometheus is off. Set cluster.units.by: cpu")
        if by == "adapter" and (reason := unavailable.get(ADAPTER)):
            raise ValueError(f"cluster.units.by is adapter, but {reason}. Provide its image, or set cluster.units.by")

    def check_ports(self, http: int, tls: int | None) -> None:
        """Raise ValueError if a port of the edge is none that nodes publish, or if HTTPS is twice or never."""
        if self.gateway and tls:
            raise ValueError("cluster.edge is a Gateway, which has the certificates. Leave edge.tls out")
        if self.issuer and not (self.gateway or tls):
            raise ValueError("cluster.issuer is set, and the edge has no HTTPS. Set edge.tls, as in {port: 443}")
        for key, port in (("edge.http_port", http), ("edge.tls.port", tls)):
            if self.edge == "NodePort" and port and port not in NODE_PORTS:
                raise ValueError(f"{key} is {port}; with cluster.edge: NodePort it must be from 30000 to 32767")
