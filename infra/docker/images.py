"""The images that the stack runs, each pinned by its content digest."""

import pulumi
import pulumi_docker as docker

from infra.settings import PlatformSettings


class Images(pulumi.ComponentResource):
    """The images of a stack by name: a `RemoteImage` for each that is asked for.

    Docker has the image or pulls it, and keeps it when the stack is destroyed.
    """

    def __init__(self, settings: PlatformSettings, opts: pulumi.ResourceOptions) -> None:
        super().__init__("vps:infra:Images", "images", None, opts)
        self._settings = settings
        self._digests: dict[str, pulumi.Output[str]] = {}
        self.register_outputs({})

    def digest(self, name: str) -> pulumi.Output[str]:
        """`sha256:...`, the id of the image's content."""
        if name not in self._digests:
            image = docker.RemoteImage(
                f"{name}-image",
                name=self._settings.image(name),
                keep_locally=True,
                opts=pulumi.ResourceOptions(parent=self),
            )
            self._digests[name] = image.image_id
        return self._digests[name]
