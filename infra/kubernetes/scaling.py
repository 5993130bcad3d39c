"""More units by their load, and how the cluster's API server learns of that."""

from collections.abc import Iterable, Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.cluster import UNIT, Cluster
from infra.kubernetes.namespaces import Namespaces
from infra.service import SERVICE_LABEL, STACK_LABEL, ServiceArgs
from infra.services import prometheus, prometheus_adapter

_CPU = 0.4
"""The share of its processor limits, on average, above which there are more units."""
_LOAD = 0.7
"""The executions that run or wait, as a share of those that a unit runs at once, above which there are more units."""
_GROUP = "custom.metrics.k8s.io"
_VERSION = "v1beta1"
_SYSTEM = "kube-system"
_UNIT: Any = {"apiVersion": "apps/v1", "kind": "Deployment", "name": UNIT}


class Scaler(pulumi.ComponentResource):
    """What changes the number of units: they come as their load needs, and go one by one."""

    def __init__(
        self,
        cluster: Cluster,
        namespaces: Namespaces,
        services: Mapping[str, ServiceArgs],
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("vps:infra:Scaler", "scaler", None, opts)
        units = cluster.units
        child = pulumi.ResourceOptions(parent=self)
        metadata = {"name": UNIT, "namespace": namespaces.of(next(iter(services)))}
        one_by_one = {"type": "Pods", "value": 1, "periodSeconds": 15}
        behavior = {"scaleDown": {"stabilizationWindowSeconds": units.calm_seconds, "policies": [one_by_one]}}
        if units.by == "keda":
            address: pulumi.Input[str]
            if cluster.operator:
                address = cluster.operator.url
            else:
                namespaces.admit_from(units.keda_namespace, "prometheus", prometheus.PORT)
                address = pulumi.Output.format(
                    "http://prometheus.{0}.svc.{1}:{2}", namespaces.of("prometheus"), cluster.domain, prometheus.PORT
                )
            trigger = {"serverAddress": address, "query": prometheus.UNITS_LOAD, "threshold": str(_LOAD)}
            kubernetes.apiextensions.CustomResource(
                f"{UNIT}-scaler",
                api_version="keda.sh/v1alpha1",
                kind="ScaledObject",
                metadata=metadata,
                spec={
                    "scaleTargetRef": {"name": UNIT},
                    "minReplicaCount": units.min,
                    "maxReplicaCount": units.max,
                    "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
                    "triggers": [{"type": "prometheus", "metricType": "AverageValue", "metadata": trigger}],
                },
                opts=child,
            )
        else:
            kubernetes.autoscaling.v2.HorizontalPodAutoscaler(
                f"{UNIT}-scaler",
                metadata=metadata,
                spec={
                    "scaleTargetRef": _UNIT,
                    "minReplicas": units.min,
                    "maxReplicas": units.max,
                    "metrics": [_by_load() if units.by == "adapter" else _by_processors(services.values())],
                    "behavior": behavior,
                },
                opts=child,
            )
        self.register_outputs({})


def _by_load() -> dict[str, Any]:
    target = {"type": "AverageValue", "averageValue": f"{round(_LOAD * 1000)}m"}
    metric = {"describedObject": _UNIT, "metric": {"name": prometheus.UNITS_LOAD}, "target": target}
    return {"type": "Object", "object": metric}


def _by_processors(services: Iterable[ServiceArgs]) -> dict[str, Any]:
    cores = sum(args.cpus for args in services)
    target = {"type": "AverageValue", "averageValue": f"{round(cores * _CPU * 1000)}m"}
    return {"type": "Resource", "resource": {"name": "cpu", "target": target}}


class MetricsApi(pulumi.ComponentResource):
    """A service answers a part of the cluster's API, and has the right to ask the API server who reads that."""

    def __init__(self, stack: str, service: str, namespaces: Namespaces, opts: pulumi.ResourceOptions) -> None:
        super().__init__("vps:infra:MetricsApi", "metrics-api", None, opts)
        child = pulumi.ResourceOptions(parent=self)
        namespace = namespaces.of(service)
        labels = {STACK_LABEL: stack, SERVICE_LABEL: service}
        namespaces.admit_visitors(service, [prometheus_adapter.PORT])
        namespaces.let_to_api_server(service)
        subjects = [{"kind": "ServiceAccount", "name": service, "namespace": namespace}]
        role = {"apiGroup": "rbac.authorization.k8s.io"}
        kubernetes.rbac.v1.ClusterRoleBinding(
            f"{service}-delegates",
            metadata={"name": f"{stack}-{service}", "labels": labels},
            role_ref={**role, "kind": "ClusterRole", "name": "system:auth-delegator"},
            subjects=subjects,
            opts=child,
        )
        kubernetes.rbac.v1.RoleBinding(
            f"{service}-authenticates",
            metadata={"name": f"{stack}-{service}", "namespace": _SYSTEM, "labels": labels},
            role_ref={**role, "kind": "Role", "name": "extension-apiserver-authentication-reader"},
            subjects=subjects,
            opts=child,
        )
        kubernetes.core.v1.Service(
            f"{service}-service",
            metadata={"name": service, "namespace": namespace, "labels": labels},
            spec={"selector": labels, "ports": [{"port": 443, "targetPort": prometheus_adapter.PORT}]},
            opts=child,
        )
        kubernetes.apiregistration.v1.APIService(
            f"{service}-api",
            metadata={"name": f"{_VERSION}.{_GROUP}", "labels": labels},
            spec={
                "group": _GROUP,
                "version": _VERSION,
                "service": {"name": service, "namespace": namespace},
                # It makes its certificate at its start. The API server shows its own, which the service checks.
                "insecureSkipTLSVerify": True,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
            },
            opts=child,
        )
        self.register_outputs({})
