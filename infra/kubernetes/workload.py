"""Workloads of Kubernetes, made from the description of services. Every pod of the stack comes from here."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.kubernetes import pod
from infra.kubernetes.pod import Object
from infra.service import SERVICE_LABEL, STACK_LABEL, ServiceArgs, Volume

_ANY_NODE = "kubernetes.io/hostname"
_OWN_NODES = "vps.units"
"""The label, and the taint, of nodes for units alone."""


@dataclass(frozen=True)
class Place:
    """Where the pods of a stack run: their namespace, the domains in which they look up short names besides the
    namespace's own, and the storage class and size in GiB of volumes that outlive them."""

    stack: str
    namespace: pulumi.Output[str]
    searches: Sequence[str]
    storage_class: str | None
    volume_gb: int


class Workload(pulumi.ComponentResource):
    """The pods of one service, or of several that share a volume for their sockets: a Deployment, a StatefulSet where a
    volume outlives the pod, or a DaemonSet.

    Args:
        name: of the objects, and the value of the label `vps.service` on the pods.
        place: what it has in common with others of its namespace.
        services: what runs in a pod, by name.
        containers: the name of each service's container.
        images: the reference of each image by its name.
        ports: those that other services connect to, by the service that has them.
        replicas: pods that run, at least and at most: between them, as many as their load takes. None: one on each
            node.
        own_nodes: whether its pods run on nodes for units only.
        runtime_class: of its pods, if not the cluster's own.
    """

    def __init__(
        self,
        name: str,
        place: Place,
        services: Mapping[str, ServiceArgs],
        *,
        containers: Mapping[str, str],
        images: Mapping[str, str],
        ports: Mapping[str, Sequence[int]],
        replicas: tuple[int, int] | None,
        own_nodes: bool,
        runtime_class: str | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        super().__init__("vps:infra:Workload", name, None, opts)
        self._name = name
        self._place = place
        self._child = pulumi.ResourceOptions(parent=self)
        self.labels = {STACK_LABEL: place.stack, SERVICE_LABEL: name}
        asks = any(args.api_server_reason for args in services.values())
        account = kubernetes.core.v1.ServiceAccount(
            f"{name}-account",
            metadata=self._metadata(name),
            automount_service_account_token=asks,
            opts=self._child,
        )
        held = [mount.volume for args in services.values() for mount in args.mounts if mount.volume.data]
        outliving = held if replicas else []
        passing = {mount.volume: None for args in services.values() for mount in args.mounts if not mount.volume.data}
        *before, last = [pod.container(containers[it], args, images[args.image]) for it, args in services.items()]
        spec: Object = {
            "automountServiceAccountToken": asks,
            "containers": [last],
            "dnsConfig": {"searches": list(place.searches)},
            "enableServiceLinks": False,
            "serviceAccountName": account.metadata["name"],
            "terminationGracePeriodSeconds": max(map(pod.stop_seconds, services.values())),
            "topologySpreadConstraints": [
                {
                    "labelSelector": {"matchLabels": self.labels},
                    "maxSkew": 1,
                    "topologyKey": _ANY_NODE,
                    "whenUnsatisfiable": "ScheduleAnyway",
                }
            ],
            "volumes": [
                *(pod.passing(volume) for volume in passing),
                *(pod.on_node(volume) for volume in held if not replicas),
                *(it for service, args in services.items() for it in self._volumes(service, containers[service], args)),
            ],
        }
        if before:
            # They are started before the last one, and stopped after it.
            spec["initContainers"] = [{**it, "restartPolicy": "Always"} for it in before]
        if any(args.privileges and args.privileges.own_users for args in services.values()):
            spec["hostUsers"] = False
        if runtime_class:
            spec["runtimeClassName"] = runtime_class
        if own_nodes:
            there = {"matchExpressions": [{"key": _OWN_NODES, "operator": "Exists"}]}
            required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [there]}}
            spec["affinity"] = {"nodeAffinity": required}
            spec["tolerations"] = [{"key": _OWN_NODES, "operator": "Exists", "effect": "NoSchedule"}]
        if outliving:
            # A new volume belongs to root, and is opened to the service's group.
            (group,) = {args.user.partition(":")[2] for args in services.values() if _has_data(args)}
            spec["securityContext"] = {"fsGroup": int(group), "fsGroupChangePolicy": "OnRootMismatch"}
        template = {"metadata": {"labels": self.labels, "annotations": self._annotations(services)}, "spec": spec}
        if replicas:
            self._run(template, replicas, outliving)
        else:
            self._run_on_each_node(template)
        for service, numbers in ports.items():
            if numbers:
                self._serve(service, numbers)
        self.register_outputs({})

    def _run_on_each_node(self, template: Object) -> None:
        """A node whose taint keeps others away has files to read, too."""
        tolerant = {**template["spec"], "tolerations": [{"operator": "Exists"}]}
        del tolerant["topologySpreadConstraints"]
        kubernetes.apps.v1.DaemonSet(
            f"{self._name}-daemon-set",
            metadata=self._metadata(self._name),
            spec={"selector": {"matchLabels": self.labels}, "template": {**template, "spec": tolerant}},
            opts=self._child,
        )

    def _run(self, template: Object, replicas: tuple[int, int], volumes: Sequence[Volume]) -> None:
        kubernetes.policy.v1.PodDisruptionBudget(
            f"{self._name}-budget",
            metadata=self._metadata(self._name),
            spec={"maxUnavailable": 1, "selector": {"matchLabels": self.labels}},
            opts=self._child,
        )
        least, most = replicas
        common: Object = {"replicas": least, "selector": {"matchLabels": self.labels}, "template": template}
        if not volumes:
            scaled = pulumi.ResourceOptions(ignore_changes=["spec.replicas"] if most > least else [])
            kubernetes.apps.v1.Deployment(
                f"{self._name}-deployment",
                metadata=self._metadata(self._name),
                spec={**common, "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0}}},
                opts=pulumi.ResourceOptions.merge(self._child, scaled),
            )
            return
        storage_class = self._place.storage_class
        claims = [
            {
                "metadata": {"name": volume.name, "labels": self.labels},
                "spec": {
                    "accessModes": ["ReadWriteOnce"],
                    "resources": {"requests": {"storage": f"{self._place.volume_gb}Gi"}},
                    **({"storageClassName": storage_class} if storage_class else {}),
                },
            }
            for volume in volumes
        ]
        kubernetes.apps.v1.StatefulSet(
            f"{self._name}-set",
            metadata=self._metadata(self._name),
            spec={**common, "serviceName": self._name, "volumeClaimTemplates": claims},
            opts=self._child,
        )

    def _serve(self, service: str, ports: Sequence[int]) -> None:
        """The name under which other services find this one."""
        kubernetes.core.v1.Service(
            f"{service}-service",
            metadata=self._metadata(service),
            spec={
                "selector": self.labels,
                "ports": [{"name": f"tcp-{port}", "port": port, "targetPort": port} for port in ports],
            },
            opts=self._child,
        )

    def _volumes(self, service: str, container: str, args: ServiceArgs) -> list[Object]:
        objects: dict[str, pulumi.Output[str]] = {}
        if args.config:
            objects["config"] = self._hold("config", service, args.config.files)
        if own := args.watched:
            objects["watched"] = self._hold("watched", service, {own.name: own.content}, changes=own.polled)
        if args.secrets:
            objects["secrets"] = self._hold("secrets", service, args.secrets)
        return pod.volumes(container, args, objects)

    def _hold(
        self, kind: str, service: str, files: Mapping[str, pulumi.Input[str]], *, changes: bool = False
    ) -> pulumi.Output[str]:
        """A ConfigMap or Secret. Unless it `changes`, other content has another name, which replaces the pods."""
        text = pulumi.Output.json_dumps(dict(files))
        contents = {pod.key(file): content for file, content in files.items()}
        metadata = self._metadata(pulumi.Output.concat(f"{service}-{kind}-", "live" if changes else pod.digest(text)))
        resource: Any
        if kind == "secrets":
            encoded = {name: pulumi.Output.from_input(content).apply(_base64) for name, content in contents.items()}
            resource = kubernetes.core.v1.Secret(
                f"{service}-secrets", metadata=metadata, immutable=True, data=encoded, opts=self._child
            )
        else:
            resource = kubernetes.core.v1.ConfigMap(
                f"{service}-{kind}", metadata=metadata, immutable=not changes, data=contents, opts=self._child
            )
        name: pulumi.Output[str] = resource.metadata["name"]
        return name

    def _metadata(self, name: pulumi.Input[str]) -> Object:
        return {"name": name, "namespace": self._place.namespace, "labels": self.labels}

    @staticmethod
    def _annotations(services: Mapping[str, ServiceArgs]) -> dict[str, str]:
        return {
            f"vps.weakened.{service}/{what}": why
            for service, args in services.items()
            for what, why in args.weakenings().items()
        }


def _has_data(args: ServiceArgs) -> bool:
    return any(mount.volume.data for mount in args.mounts)


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
