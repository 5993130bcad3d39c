"""The images that the stack runs, each held by its content digest."""

from collections.abc import Iterable

import pulumi
import pulumi_docker as docker

from infra.settings import PlatformSettings


class Images(pulumi.ComponentResource):
    """One `RemoteImage` a name: found on the engine, or pulled by it; kept there when the stack goes."""

    def __init__(
        self, settings: PlatformSettings, names: Iterable[str], opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("vps:infra:Images", "images", None, opts)
        self._digests = {
            name: docker.RemoteImage(
                f"{name}-image",
                name=settings.image(name),
                keep_locally=True,
                opts=pulumi.ResourceOptions(parent=self),
            ).image_id
            for name in names
        }
        self.register_outputs({})

    def digest(self, name: str) -> pulumi.Output[str]:
        """`sha256:...`, the id of the image's content on the engine."""
        return self._digests[name]
