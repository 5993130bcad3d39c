"""What a cluster must have before anything runs on it: names (CoreDNS), and volumes of each node."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from offline.kubernetes import layout
from offline.kubernetes.layout import Node

_SYSTEM = "kube-system"
_NAME = "coredns"
_LABELS = {"k8s-app": "kube-dns"}
_COREFILE = f""".:53 {{
    errors
    health
    ready
    kubernetes {layout.DOMAIN} in-addr.arpa
    cache 10
}}
"""
_VOLUME_SIZE = "10Gi"
"""What a claim may ask of a volume at most. Nothing holds a volume to it: they share this machine's disk."""


def manifests(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """The objects, in the order of their creation."""
    return [*_policies(), *_names(), *_storage(nodes)]


def _policies() -> list[dict[str, Any]]:
    """The rights of the program that enforces NetworkPolicies on each node."""
    user = {"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "netpol"}
    return _reader("netpol", user, {"": ["namespaces", "pods"], "networking.k8s.io": ["networkpolicies"]})


def _names() -> list[dict[str, Any]]:
    probe = {"periodSeconds": 1, "failureThreshold": 3}
    container = {
        "name": _NAME,
        "image": layout.COREDNS_IMAGE,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}, "limits": {"memory": "96Mi"}},
        "securityContext": {
            "runAsUser": 65532,
            "runAsNonRoot": True,
            "readOnlyRootFilesystem": True,
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, **probe},
        "volumeMounts": [{"name": "config", "mountPath": "/etc/coredns", "readOnly": True}],
    }
    pod = {
        "serviceAccountName": _NAME,
        "dnsPolicy": "Default",
        "nodeSelector": {"kubernetes.io/hostname": Node(1, Path()).name},
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": _NAME}}],
    }
    ports = [{"name": name.lower(), "port": 53, "protocol": name} for name in ("UDP", "TCP")]
    return [
        _object("v1", "ServiceAccount", _NAME),
        _object("v1", "ConfigMap", _NAME, data={"Corefile": _COREFILE}),
        *_reader(
            _NAME,
            {"kind": "ServiceAccount", "name": _NAME, "namespace": _SYSTEM},
            {"": ["endpoints", "services", "pods", "namespaces"], "discovery.k8s.io": ["endpointslices"]},
        ),
        _object(
            "apps/v1",
            "Deployment",
            _NAME,
            spec={
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": pod},
            },
        ),
        _object(
            "v1", "Service", "kube-dns", spec={"clusterIP": layout.DNS_SERVICE, "selector": _LABELS, "ports": ports}
        ),
    ]


def _storage(nodes: Iterable[Node]) -> list[dict[str, Any]]:
    """A default storage class, and volumes that are there already: nothing in this cluster makes any."""
    storage_class = _object(
        "storage.k8s.io/v1",
        "StorageClass",
        layout.STORAGE_CLASS,
        provisioner="kubernetes.io/no-provisioner",
        volumeBindingMode="WaitForFirstConsumer",
    )
    storage_class["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
    return [
        storage_class,
        *(_volume(node, number) for node in nodes for number in range(1, layout.VOLUMES + 1)),
    ]


def _volume(node: Node, number: int) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [node.name]}
    return _object(
        "v1",
        "PersistentVolume",
        f"{node.name}-{number}",
        spec={
            "capacity": {"storage": _VOLUME_SIZE},
            "accessModes": ["ReadWriteOnce"],
            "persistentVolumeReclaimPolicy": "Retain",
            "storageClassName": layout.STORAGE_CLASS,
            "local": {"path": f"{layout.VOLUMES_FOLDER}/{number}"},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
        },
    )


def _reader(name: str, subject: dict[str, str], resources: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The right to read resources, by API group."""
    version = "rbac.authorization.k8s.io/v1"
    rules = [{"apiGroups": [group], "resources": it, "verbs": ["list", "watch"]} for group, it in resources.items()]
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name}
    return [
        _object(version, "ClusterRole", name, rules=rules),
        _object(version, "ClusterRoleBinding", name, roleRef=role, subjects=[subject]),
    ]


def _object(version: str, kind: str, name: str, **content: Any) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": _SYSTEM}, **content}
