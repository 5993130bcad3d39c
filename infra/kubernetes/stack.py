"""A stack on a Kubernetes cluster."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.cluster import UNIT, UNITS, Cluster, Gateway
from infra.images import IMAGES_OF_OURS, UPSTREAM_IMAGES
from infra.kubernetes import arrows, pod
from infra.kubernetes.admission import Admission, rules
from infra.kubernetes.certificates import Certificate
from infra.kubernetes.existing import require
from infra.kubernetes.namespaces import NODES, Namespaces, trust, workload
from infra.kubernetes.operator import Monitors
from infra.kubernetes.scaling import MetricsApi, Scaler
from infra.kubernetes.workload import Place, Workload
from infra.service import SERVICE_LABEL, STACK_LABEL, Context, Port, Service, ServiceArgs, Volume
from infra.services.edge import certified, hosts
from infra.services.sandbox import EXECUTOR
from infra.settings import PlatformSettings

_OUTWARD = ("public", "outbound")
_GATEWAY_API = "gateway.networking.k8s.io/v1"


def provider(cluster: Cluster) -> pulumi.ProviderResource:
    """The provider for a cluster."""
    made: pulumi.ProviderResource = kubernetes.Provider(
        "cluster", kubeconfig=cluster.kubeconfig, context=cluster.context
    )
    return made


class ClusterStack:
    """An `Orchestrator`. Each service's pods are in the namespace of its trust."""

    def __init__(
        self,
        settings: PlatformSettings,
        cluster: Cluster,
        services: Sequence[Service],
        opts: pulumi.ResourceOptions,
    ) -> None:
        self._settings = settings
        self._cluster = cluster
        self._services = services
        self._reads = {it.name: paths for it in services if (paths := it.reads(settings))}
        self._trusts = {it.name: trust(it, settings) for it in services}
        self._containers = {it.name: it.unit_of or it.name for it in services}
        self._namespaces = Namespaces(settings.name, cluster, self._trusts, opts)
        self._admission: list[pulumi.Resource] = []
        for arrow in arrows.arrows(services):
            self._namespaces.allow(arrow)

    def subnets(self, network: str) -> pulumi.Output[Sequence[str]]:
        """The networks of all pods: which of them a service has is the cluster's to choose."""
        return pulumi.Output.from_input([str(it) for it in self._cluster.pod_networks])

    def internal_networks(self) -> Sequence[str]:
        """None: what the edge reaches follows from its routes."""
        return ()

    def data(self) -> Sequence[Volume]:
        """None: a cluster's storage saves its own volumes."""
        return ()

    def each(self, service: str) -> str | None:
        """A name with the addresses of all pods, for services of a unit, and for those that each node runs."""
        trusted = self._trusts.get(service)
        several = trusted in (UNITS, NODES)
        return f"{service}-pods.{self._settings.name}-{trusted}.svc.{self._cluster.domain}" if several else None

    def host(self, service: str) -> pulumi.Output[str]:
        """The name of its Service."""
        return pulumi.Output.from_input(service)

    def watch(self, context: Context, opts: pulumi.ResourceOptions) -> None:
        """The cluster's own monitoring, where it has one, gets what it needs."""
        if self._cluster.operator:
            Monitors(self._cluster.operator, context, self._namespaces, opts)

    def make(self, name: str, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions) -> None:
        """The pods of these services: the api and the executor of a unit share one. The executor's are the first."""
        if executor := services.get(EXECUTOR.name):
            paths = {it: [path.path for path in found] for it, found in self._reads.items()}
            runtime_class = self._cluster.units.runtime_class
            self._admission = [
                Admission(
                    rules(self._settings.name, executor, self._images(), paths, runtime_class),
                    self._settings.name,
                    opts,
                )
            ]
        for found in dict.fromkeys(map(workload, services)):
            self._make(found, {it: args for it, args in services.items() if workload(it) == found}, opts)

    def _make(self, name: str, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions) -> None:
        first = next(iter(services))
        units, is_unit = self._cluster.units, self._trusts[first] == UNITS
        place = Place(
            self._settings.name,
            self._namespaces.of(first),
            self._namespaces.searches,
            self._cluster.storage_class,
            self._cluster.volume_gb,
        )
        before = [*self._admission, *(self._certify(first, opts) if services[first].ports else [])]
        made = Workload(
            name,
            place,
            services,
            containers=self._containers,
            images={args.image: self._settings.image(args.image) for args in services.values()},
            ports={service: self._ports(service) for service in services},
            replicas=None if first in self._reads else (units.min, units.max) if name == UNIT else (1, 1),
            own_nodes=units.own_nodes and is_unit,
            runtime_class=units.runtime_class if is_unit else None,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=before)),
        )
        below = pulumi.ResourceOptions(parent=made)
        if name == UNIT and units.scaled_by:
            Scaler(self._cluster, self._namespaces, services, below)
        for service, args in services.items():
            if args.api_server_reason:
                MetricsApi(self._settings.name, service, self._namespaces, below)
                if self._cluster.operator:
                    self._namespaces.let_to(service, self._cluster.operator.namespace)
            if args.ports:
                self._publish(service, args.ports, made)
            if self.each(service) and self._ports(service):
                self._list(service, made)
            if set(args.networks) & set(_OUTWARD):
                self._namespaces.let_out(service, [str(it) for it in self._cluster.pod_networks])

    def _ports(self, service: str) -> list[int]:
        return arrows.ports(service, self._services, scraped=self._cluster.operator is not None)

    def _list(self, service: str, made: Workload) -> None:
        """A name with the address of each pod, of those that are not ready too: Prometheus asks them all."""
        kubernetes.core.v1.Service(
            f"{service}-pods",
            metadata=self._metadata(f"{service}-pods", service),
            spec={"clusterIP": "None", "publishNotReadyAddresses": True, "selector": made.labels},
            opts=pulumi.ResourceOptions(parent=made),
        )

    def _metadata(self, name: str, service: str) -> dict[str, Any]:
        labels = {STACK_LABEL: self._settings.name, SERVICE_LABEL: service}
        return {"name": name, "namespace": self._namespaces.of(service), "labels": labels}

    def _images(self) -> set[str]:
        """The references of all images that may run."""
        upstream = [it.name for it in self._services if it.name in UPSTREAM_IMAGES]
        return {self._settings.image(name) for name in (*IMAGES_OF_OURS, *upstream)}

    def _publish(self, service: str, ports: Sequence[Port], made: Workload) -> None:
        """The edge's ports for visitors. Its nodes pass them on without hiding the visitor's address."""
        by_number = {port.external: port.internal for port in ports}
        gateway = self._cluster.gateway
        self._namespaces.admit_visitors(service, list(by_number.values()), gateway)
        kind = "ClusterIP" if gateway else self._cluster.edge
        numbers = [
            {
                "name": f"web-{external}",
                "port": external,
                "targetPort": internal,
                **({"nodePort": external} if kind == "NodePort" else {}),
            }
            for external, internal in by_number.items()
        ]
        below = pulumi.ResourceOptions(parent=made)
        published = kubernetes.core.v1.Service(
            f"{service}-visitors",
            metadata=self._metadata(f"{service}-visitors", service),
            spec={
                "type": kind,
                "selector": made.labels,
                "ports": numbers,
                **({} if gateway else {"externalTrafficPolicy": "Local"}),
            },
            opts=below,
        )
        if gateway:
            self._lead(gateway, service, published, below)

    def _certify(self, edge: str, opts: pulumi.ResourceOptions) -> list[pulumi.Resource]:
        """The certificate for visitors, where the cluster issues it."""
        if not self._cluster.issuer:
            return []
        metadata = self._metadata(pod.certificate(edge), edge)
        names = certified(self._settings.edge, [it.name for it in self._services if it.route])
        return [Certificate(self._cluster.issuer, metadata, names, self._cluster.gateway, opts)]

    def _lead(
        self, gateway: Gateway, edge: str, published: kubernetes.core.v1.Service, opts: pulumi.ResourceOptions
    ) -> None:
        """A route from the Gateway to the edge for each service's host names. `up` fails if the Gateway isn't there."""
        require("cluster.edge", _GATEWAY_API, "Gateway", f"{gateway.namespace}/{gateway.name}", opts)
        backend = {"name": published.metadata["name"], "port": self._settings.edge.http_port}
        rule = {"backendRefs": [backend], **({"timeouts": {"request": "0s"}} if gateway.timeouts else {})}
        parent = {"name": gateway.name, "namespace": gateway.namespace}
        for routed in (it.name for it in self._services if it.route):
            kubernetes.apiextensions.CustomResource(
                f"{routed}-route",
                api_version=_GATEWAY_API,
                kind="HTTPRoute",
                metadata=self._metadata(routed, edge),
                spec={
                    "parentRefs": [{**parent, "sectionName": name} for name in gateway.listeners],
                    "hostnames": list(hosts(self._settings.edge, routed)),
                    "rules": [rule],
                },
                opts=opts,
            )
