"""A stack on a Kubernetes cluster."""

from collections.abc import Mapping, Sequence

import pulumi
import pulumi_kubernetes as kubernetes

from infra.cluster import Cluster
from infra.images import IMAGES_OF_OURS, UPSTREAM_IMAGES
from infra.kubernetes import arrows
from infra.kubernetes.admission import Admission
from infra.kubernetes.namespaces import EDGE, Namespaces, trust, workload
from infra.kubernetes.workload import Place, Workload
from infra.service import SERVICE_LABEL, STACK_LABEL, Port, Service, ServiceArgs
from infra.services.sandbox import API, EXECUTOR
from infra.settings import PlatformSettings

_OUTWARD = ("public", "outbound")


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
        self._namespaces = Namespaces(settings.name, cluster, [it.name for it in services], opts)
        self._admission: list[pulumi.Resource] = []
        for arrow in arrows.arrows(services):
            self._namespaces.allow(arrow)

    def subnets(self, network: str) -> pulumi.Output[Sequence[str]]:
        """The networks of all pods: which of them a service has is the cluster's to choose."""
        return pulumi.Output.from_input([str(it) for it in self._cluster.pod_networks])

    def internal_networks(self) -> Sequence[str]:
        """None: what the edge reaches follows from its routes."""
        return ()

    def host(self, service: str) -> pulumi.Output[str]:
        """The name of its Service."""
        return pulumi.Output.from_input(service)

    def make(self, name: str, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions) -> None:
        """The pods of these services: api and executor share one. The executor's are the first."""
        if executor := services.get(EXECUTOR.name):
            self._admission = [Admission(self._settings.name, executor, self._images(), opts)]
        for found in dict.fromkeys(map(workload, services)):
            self._make(found, {it: args for it, args in services.items() if workload(it) == found}, opts)

    def _make(self, name: str, services: Mapping[str, ServiceArgs], opts: pulumi.ResourceOptions) -> None:
        first = next(iter(services))
        units = self._cluster.units
        place = Place(
            self._settings.name,
            self._namespaces[trust(first)],
            self._namespaces.searches,
            self._cluster.storage_class,
            self._cluster.volume_gb,
        )
        made = Workload(
            name,
            place,
            services,
            images={args.image: self._settings.image(args.image) for args in services.values()},
            ports={service: arrows.ports(service, self._services) for service in services},
            replicas=(units.min, units.max) if API.name in services else (1, 1),
            own_nodes=units.own_nodes and API.name in services,
            opts=pulumi.ResourceOptions.merge(opts, pulumi.ResourceOptions(depends_on=self._admission)),
        )
        for service, args in services.items():
            if args.ports:
                self._publish(service, args.ports, made)
            if set(args.networks) & set(_OUTWARD):
                self._namespaces.let_out(service, [str(it) for it in self._cluster.pod_networks])

    def _images(self) -> set[str]:
        """The references of all images that may run."""
        upstream = [it.name for it in self._services if it.name in UPSTREAM_IMAGES]
        return {self._settings.image(name) for name in (*IMAGES_OF_OURS, *upstream)}

    def _publish(self, service: str, ports: Sequence[Port], made: Workload) -> None:
        """The edge's ports for visitors. Its nodes pass them on without hiding the visitor's address."""
        by_number = {port.external: port.internal for port in ports}
        self._namespaces.admit_visitors(service, list(by_number.values()))
        kind = self._cluster.edge
        numbers = [
            {
                "name": f"web-{external}",
                "port": external,
                "targetPort": internal,
                **({"nodePort": external} if kind == "NodePort" else {}),
            }
            for external, internal in by_number.items()
        ]
        kubernetes.core.v1.Service(
            f"{service}-visitors",
            metadata={
                "name": f"{service}-visitors",
                "namespace": self._namespaces[EDGE],
                "labels": {STACK_LABEL: self._settings.name, SERVICE_LABEL: service},
            },
            spec={"type": kind, "externalTrafficPolicy": "Local", "selector": made.labels, "ports": numbers},
            opts=pulumi.ResourceOptions(parent=made),
        )
