"""The namespaces of a stack, by trust, and which packets pass between their pods."""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_network
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.cluster import ADAPTER, NAMESPACES, ROOMS_UNIT, UNIT, UNITS, Cluster, Gateway
from infra.kubernetes.arrows import Arrow
from infra.service import SERVICE_LABEL, STACK_LABEL, Service
from infra.services.packages import COPY, ROOMS_COPY, SENDING
from infra.settings import VALKEY, PlatformSettings

EDGE, _, STORE, MONITORING, NODES, SCALING, PACKAGES = NAMESPACES
_WORKLOADS = {
    **dict.fromkeys(("api", "executor", COPY.name), UNIT),
    **dict.fromkeys(("api-rooms", "executor-rooms", ROOMS_COPY.name), ROOMS_UNIT),
}
_PRIVILEGED = (UNITS, NODES)
"""The executor's capabilities, and paths of a node, are beyond Pod Security's levels: policies of the stack hold these
two namespaces."""
_PODS = {EDGE: 4, STORE: 2, MONITORING: 24, NODES: 4000, SCALING: 4, PACKAGES: 4}
"""The most pods of each. In `nodes` they are a few for each of 1,000 nodes."""
_TRUST = {"traefik": EDGE, ADAPTER: SCALING, VALKEY: STORE, SENDING.name: PACKAGES, **dict.fromkeys(_WORKLOADS, UNITS)}
_NAMESPACE = "kubernetes.io/metadata.name"
_DNS = {_NAMESPACE: "kube-system"}
_METADATA_SERVICES = ("169.254.0.0/16", "fd00:ec2::254/128")
_DEFAULT = {"cpu": "50m", "memory": "32Mi"}
"""The limits of a container that declares none. Those of the program declare theirs."""


def trust(service: Service, settings: PlatformSettings) -> str:
    """The namespace of a service, without the stack's prefix."""
    return NODES if service.reads(settings) else _TRUST.get(service.name, MONITORING)


def workload(service: str) -> str:
    """The label `vps.service` of the pods in which a service runs."""
    return _WORKLOADS.get(service, service)


class Namespaces(pulumi.ComponentResource):
    """The namespaces, each with its level of Pod Security, its quota and a policy that lets no packet pass.

    `trusts` are those of all services, by their names.
    """

    def __init__(self, prefix: str, cluster: Cluster, trusts: Mapping[str, str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("vps:infra:Namespaces", "namespaces", None, opts)
        self._prefix = prefix
        self._trusts = trusts
        self._child = pulumi.ResourceOptions(parent=self)
        wanted = sorted({*trusts.values(), *([MONITORING] if cluster.operator else [])})
        # The rooms' unit has never two: one is gone before the next one is made.
        pods = {**_PODS, UNITS: 2 * cluster.units.max + (ROOMS_UNIT in map(workload, trusts))}
        self._made = {name: self._make(name, pods[name]) for name in wanted}
        self.searches = [f"{prefix}-{name}.svc.{cluster.domain}" for name in wanted]
        self.register_outputs({})

    def __getitem__(self, trust: str) -> pulumi.Output[str]:
        return self._made[trust]

    def of(self, service: str) -> pulumi.Output[str]:
        """The namespace of a service."""
        return self._made[self._trusts[service]]

    def allow(self, arrow: Arrow) -> None:
        """Let one service connect to a port of another one: out of the one's namespace, and into the other's."""
        name = f"{arrow.source}-to-{arrow.target}-{arrow.port}"
        ports = [{"port": arrow.port, "protocol": "TCP"}]
        egress = {"to": [self._pods(arrow.target)], "ports": ports}
        ingress = {"from": [self._pods(arrow.source)], "ports": ports}
        self._policy(f"{name}-out", arrow.source, {"policyTypes": ["Egress"], "egress": [egress]})
        self._policy(f"{name}-in", arrow.target, {"policyTypes": ["Ingress"], "ingress": [ingress]})

    def admit_visitors(self, service: str, ports: Sequence[int], gateway: Gateway | None = None) -> None:
        """Let everybody connect to the edge's ports; with a Gateway in front, its proxies alone."""
        ingress: dict[str, Any] = {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}
        if gateway:
            proxies = gateway.proxies or gateway.namespace
            ingress["from"] = (
                [{"namespaceSelector": {"matchLabels": {_NAMESPACE: proxies}}}]
                if isinstance(proxies, str)
                else [{"ipBlock": {"cidr": str(it)}} for it in proxies]
            )
        self._policy(f"visitors-to-{service}", service, {"policyTypes": ["Ingress"], "ingress": [ingress]})

    def let_to(self, service: str, namespace: str) -> None:
        """Let a service connect to the pods of a namespace that is not the stack's."""
        target = {"namespaceSelector": {"matchLabels": {_NAMESPACE: namespace}}}
        self._policy(f"{service}-to-{namespace}", service, {"policyTypes": ["Egress"], "egress": [{"to": [target]}]})

    def admit_from(self, namespace: str, service: str, port: int) -> None:
        """Let the pods of a namespace that is not the stack's connect to a service."""
        source = {"namespaceSelector": {"matchLabels": {_NAMESPACE: namespace}}}
        ingress = {"from": [source], "ports": [{"port": port, "protocol": "TCP"}]}
        name = f"{namespace}-to-{service}-{port}"
        self._policy(name, service, {"policyTypes": ["Ingress"], "ingress": [ingress]})

    def let_to_api_server(self, service: str) -> None:
        """Let a service connect to the cluster's API server, whose address no policy knows: to its ports anywhere."""
        egress = {"ports": [{"port": port, "protocol": "TCP"} for port in (443, 6443)]}
        self._policy(f"{service}-to-api-server", service, {"policyTypes": ["Egress"], "egress": [egress]})

    def let_out(self, service: str, inside: Iterable[str]) -> None:
        """Let a service connect to the internet: to no address of the networks `inside`, and to no metadata service."""
        closed = [ip_network(network) for network in (*inside, *_METADATA_SERVICES)]
        everywhere = [
            {"ipBlock": {"cidr": cidr, "except": [str(it) for it in closed if it.version == version]}}
            for version, cidr in ((4, "0.0.0.0/0"), (6, "::/0"))
        ]
        self._policy(f"{service}-to-outside", service, {"policyTypes": ["Egress"], "egress": [{"to": everywhere}]})

    def _make(self, name: str, pods: int) -> pulumi.Output[str]:
        level = "privileged" if name in _PRIVILEGED else "restricted"
        namespace = kubernetes.core.v1.Namespace(
            f"{name}-namespace",
            metadata={
                "name": f"{self._prefix}-{name}",
                "labels": {
                    STACK_LABEL: self._prefix,
                    **{f"pod-security.kubernetes.io/{mode}": level for mode in ("enforce", "audit", "warn")},
                },
            },
            opts=self._child,
        )
        own: pulumi.Output[str] = namespace.metadata["name"]
        kubernetes.core.v1.ResourceQuota(
            f"{name}-quota",
            metadata={"name": "quota", "namespace": own},
            spec={"hard": {"pods": str(pods), "services.loadbalancers": "1" if name == EDGE else "0"}},
            opts=self._child,
        )
        kubernetes.core.v1.LimitRange(
            f"{name}-limits",
            metadata={"name": "limits", "namespace": own},
            spec={"limits": [{"type": "Container", "default": _DEFAULT, "defaultRequest": _DEFAULT}]},
            opts=self._child,
        )
        both = ["Ingress", "Egress"]
        self._any(f"{name}-deny-all", "deny-all", own, {"podSelector": {}, "policyTypes": both})
        names = {
            "to": [{"namespaceSelector": {"matchLabels": _DNS}}],
            "ports": [{"port": 53, "protocol": protocol} for protocol in ("UDP", "TCP")],
        }
        self._any(f"{name}-names", "names", own, {"podSelector": {}, "policyTypes": ["Egress"], "egress": [names]})
        return own

    def _pods(self, service: str) -> dict[str, Any]:
        return {
            "namespaceSelector": {"matchLabels": {_NAMESPACE: self.of(service)}},
            "podSelector": {"matchLabels": {SERVICE_LABEL: workload(service)}},
        }

    def _policy(self, name: str, service: str, spec: dict[str, Any]) -> None:
        selector = {"podSelector": {"matchLabels": {SERVICE_LABEL: workload(service)}}}
        self._any(name, name, self.of(service), {**selector, **spec})

    def _any(self, resource: str, name: str, namespace: pulumi.Input[str], spec: dict[str, Any]) -> None:
        kubernetes.networking.v1.NetworkPolicy(
            f"{resource}-policy", metadata={"name": name, "namespace": namespace}, spec=spec, opts=self._child
        )
