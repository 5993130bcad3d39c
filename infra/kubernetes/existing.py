"""Objects of the cluster's own that settings name."""

import pulumi
import pulumi_kubernetes as kubernetes


def require(key: str, api_version: str, kind: str, place: str, opts: pulumi.ResourceOptions) -> None:
    """Have the preview fail if the cluster lacks the object `[namespace/]name` that the setting `key` names.

    Only the preview reads it: in the state, each change of it by its owner would be drift.
    """
    if pulumi.runtime.is_dry_run():
        kubernetes.apiextensions.CustomResource.get(key, api_version=api_version, kind=kind, id=place, opts=opts)
