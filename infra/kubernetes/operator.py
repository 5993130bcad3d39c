"""What a stack gives to the monitoring that a cluster has: the Prometheus Operator's objects, and dashboards."""

from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes
import yaml

from infra.cluster import Operator
from infra.kubernetes.namespaces import MONITORING, Namespaces, workload
from infra.service import SERVICE_LABEL, STACK_LABEL, Context, Target
from infra.services.blackbox import probes
from infra.services.prometheus import rules
from monitoring.grafana.files import dashboard_files


class Monitors(pulumi.ComponentResource):
    """A ServiceMonitor for each service with metrics and for the probes, a PrometheusRule for each file of rules, and a
    ConfigMap for each dashboard."""

    def __init__(
        self, operator: Operator, context: Context, namespaces: Namespaces, opts: pulumi.ResourceOptions
    ) -> None:
        super().__init__("vps:infra:Monitors", "monitors", None, opts)
        self._operator = operator
        self._stack = context.settings.name
        self._namespaces = namespaces
        self._child = pulumi.ResourceOptions(parent=self)
        self._interval = f"{context.settings.services.prometheus.scrape_seconds}s"
        monitored = {it.name: (it.unit_of or it.name, [it.target]) for it in context.services if it.target}
        if found := probes(context):
            monitored["probe"] = ("probe", found)
        for address in sorted({targets[0].address for _, targets in monitored.values()}):
            host, _, port = address.partition(":")
            namespaces.admit_from(operator.namespace, host, int(port))
        for name, (job, targets) in monitored.items():
            self._scrape(name, targets[0], [_relabelled({"job": job, **it.labels}, it) for it in targets])
        for file, text in rules(context.settings).items():
            name = file.removesuffix(".yml")
            self._custom("PrometheusRule", name, yaml.safe_load(text))
        for file, text in dashboard_files().items():
            name = file.removesuffix(".json")
            kubernetes.core.v1.ConfigMap(
                f"{name}-dashboard",
                metadata=self._metadata(f"dashboard-{name}", {operator.dashboard_label: "1"}),
                data={file: text},
                opts=self._child,
            )
        self.register_outputs({})

    def _scrape(self, name: str, target: Target, endpoints: list[dict[str, Any]]) -> None:
        """Scrape each pod behind the Service of a target."""
        host, _, port = target.address.partition(":")
        labels = {STACK_LABEL: self._stack, SERVICE_LABEL: workload(host)}
        spec = {
            "namespaceSelector": {"matchNames": [self._namespaces.of(host)]},
            "selector": {"matchLabels": labels},
            "endpoints": [{"port": f"tcp-{port}", "interval": self._interval, **it} for it in endpoints],
        }
        self._custom("ServiceMonitor", name, spec)

    def _custom(self, kind: str, name: str, spec: dict[str, Any]) -> None:
        kubernetes.apiextensions.CustomResource(
            f"{name}-{kind.lower()}",
            api_version="monitoring.coreos.com/v1",
            kind=kind,
            metadata=self._metadata(name, self._operator.labels),
            spec=spec,
            opts=self._child,
        )

    def _metadata(self, name: str, labels: dict[str, str]) -> dict[str, Any]:
        return {"name": name, "namespace": self._namespaces[MONITORING], "labels": {STACK_LABEL: self._stack, **labels}}


def _relabelled(labels: dict[str, str], target: Target) -> dict[str, Any]:
    """An endpoint whose series have these labels, whatever the cluster calls them."""
    endpoint: dict[str, Any] = {
        "path": target.path,
        # The operator's own `service` and `pod` would rename those of Traefik and of the containers' figures.
        "honorLabels": True,
        "relabelings": [{"targetLabel": name, "replacement": value} for name, value in labels.items()],
    }
    if target.parameters:
        endpoint["params"] = {name: [value] for name, value in target.parameters.items()}
    if target.relabel:
        camel = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
        endpoint["metricRelabelings"] = [
            {camel.get(key, key): it for key, it in rule.items()} for rule in target.relabel
        ]
    return endpoint
