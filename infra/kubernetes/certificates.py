"""Certificates that the cluster's cert-manager issues and renews."""

from collections.abc import Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as kubernetes

from infra.cluster import Gateway
from infra.kubernetes.existing import require

_GROUP = "cert-manager.io"
_API = f"{_GROUP}/v1"
_GATEWAYS = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
_SECRETS = {"group": "", "kind": "Secret"}
_SECONDS = 300
"""Within which an issuer must issue the first one: a proof by DNS takes one to three minutes."""


class Certificate(pulumi.ComponentResource):
    """A certificate in a Secret of its own name, which is there once this is made.

    `up` fails if the cluster has no such issuer, or if that does not issue it. A Gateway's listeners may refer to it.
    """

    def __init__(
        self,
        issuer: str,
        metadata: dict[str, Any],
        names: Sequence[str],
        gateway: Gateway | None,
        opts: pulumi.ResourceOptions,
    ) -> None:
        name = metadata["name"]
        super().__init__("vps:infra:Certificate", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        require("cluster.issuer", _API, "ClusterIssuer", issuer, child)
        waits = {"pulumi.com/waitFor": "condition=Ready", "pulumi.com/timeoutSeconds": str(_SECONDS)}
        kubernetes.apiextensions.CustomResource(
            name,
            api_version=_API,
            kind="Certificate",
            metadata={**metadata, "annotations": waits},
            spec={
                "secretName": name,
                "dnsNames": list(names),
                "issuerRef": {"group": _GROUP, "kind": "ClusterIssuer", "name": issuer},
                "privateKey": {"algorithm": "ECDSA", "size": 256, "rotationPolicy": "Always"},
            },
            opts=child,
        )
        if gateway:
            kubernetes.apiextensions.CustomResource(
                f"{name}-grant",
                api_version=f"{_GATEWAYS['group']}/v1beta1",
                kind="ReferenceGrant",
                metadata=metadata,
                spec={"from": [{**_GATEWAYS, "namespace": gateway.namespace}], "to": [{**_SECRETS, "name": name}]},
                opts=child,
            )
        self.register_outputs({})
