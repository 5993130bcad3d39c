"""The namespaces of a stack, by trust, and which packets pass between their pods."""

from collections.abc import Iterable, Sequence
from ipaddress import ip_network
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.cluster import Cluster
from infra.kubernetes.arrows import Arrow
from infra.service import SERVICE_LABEL, STACK_LABEL
from infra.settings import VALKEY

EDGE, UNITS, STORE, MONITORING = "edge", "units", "store", "monitoring"
UNIT = "sandbox"
"""The label `vps.service` of the pods with an api and an executor."""
_WORKLOADS = {"api": UNIT, "executor": UNIT}
_SECURITY = {EDGE: "restricted", UNITS: "privileged", STORE: "restricted", MONITORING: "restricted"}
"""The executor's capabilities and root are beyond Pod Security's levels: the units' namespace is held by policies of
its own."""
_PODS = {EDGE: 4, STORE: 2, MONITORING: 24}
_TRUST = {"traefik": EDGE, VALKEY: STORE, **dict.fromkeys(_WORKLOADS, UNITS)}
_DNS = {"kubernetes.io/metadata.name": "kube-system"}
_METADATA_SERVICES = ("169.254.0.0/16", "fd00:ec2::254/128")
_DEFAULT = {"cpu": "50m", "memory": "32Mi"}
"""The limits of a container that declares none. Those of the program declare theirs."""


def trust(service: str) -> str:
    """The namespace of a service, without the stack's prefix."""
    return _TRUST.get(service, MONITORING)


def workload(service: str) -> str:
    """The label `vps.service` of the pods in which a service runs."""
    return _WORKLOADS.get(service, service)


class Namespaces(pulumi.ComponentResource):
    """The namespaces, each with its level of Pod Security, its quota and a policy that lets no packet pass."""

    def __init__(self, prefix: str, cluster: Cluster, services: Iterable[str], opts: pulumi.ResourceOptions) -> None:
        super().__init__("vps:infra:Namespaces", "namespaces", None, opts)
        self._prefix = prefix
        self._child = pulumi.ResourceOptions(parent=self)
        wanted = sorted({trust(service) for service in services})
        pods = {**_PODS, UNITS: 2 * cluster.units.max}
        self._made = {name: self._make(name, pods[name]) for name in wanted}
        self.searches = [f"{prefix}-{name}.svc.{cluster.domain}" for name in wanted]
        self.register_outputs({})

    def __getitem__(self, name: str) -> pulumi.Output[str]:
        return self._made[name]

    def allow(self, arrow: Arrow) -> None:
        """Let one service connect to a port of another one: out of the one's namespace, and into the other's."""
        name = f"{arrow.source}-to-{arrow.target}-{arrow.port}"
        ports = [{"port": arrow.port, "protocol": "TCP"}]
        egress = {"to": [self._pods(arrow.target)], "ports": ports}
        ingress = {"from": [self._pods(arrow.source)], "ports": ports}
        self._policy(f"{name}-out", arrow.source, {"policyTypes": ["Egress"], "egress": [egress]})
        self._policy(f"{name}-in", arrow.target, {"policyTypes": ["Ingress"], "ingress": [ingress]})

    def admit_visitors(self, service: str, ports: Sequence[int]) -> None:
        """Let everybody connect to the edge's ports."""
        ingress = {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}
        self._policy(f"visitors-to-{service}", service, {"policyTypes": ["Ingress"], "ingress": [ingress]})

    def let_out(self, service: str, inside: Iterable[str]) -> None:
        """Let a service connect to the internet: to no address of the networks `inside`, and to no metadata service."""
        closed = [ip_network(network) for network in (*inside, *_METADATA_SERVICES)]
        everywhere = [
            {"ipBlock": {"cidr": cidr, "except": [str(it) for it in closed if it.version == version]}}
            for version, cidr in ((4, "0.0.0.0/0"), (6, "::/0"))
        ]
        self._policy(f"{service}-to-outside", service, {"policyTypes": ["Egress"], "egress": [{"to": everywhere}]})

    def _make(self, name: str, pods: int) -> pulumi.Output[str]:
        level = _SECURITY[name]
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
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self[trust(service)]}},
            "podSelector": {"matchLabels": {SERVICE_LABEL: workload(service)}},
        }

    def _policy(self, name: str, service: str, spec: dict[str, Any]) -> None:
        selector = {"podSelector": {"matchLabels": {SERVICE_LABEL: workload(service)}}}
        self._any(name, name, self[trust(service)], {**selector, **spec})

    def _any(self, resource: str, name: str, namespace: pulumi.Input[str], spec: dict[str, Any]) -> None:
        kubernetes.networking.v1.NetworkPolicy(
            f"{resource}-policy", metadata={"name": name, "namespace": namespace}, spec=spec, opts=self._child
        )
