"""Images are pinned."""

import re
from collections.abc import Iterator

from policies.inputs import UNKNOWN, Inputs
from policies.rules import rule

_DIGEST = re.compile(r"(.+@)?sha256:[0-9a-f]{64}")


@rule("container-image-digest", cis="5.28")
def image_digest(inputs: Inputs) -> Iterator[str]:
    """A container's image is named by its digest.

    Fix: Use RemoteImage.image_id, or name@sha256:<digest>.
    """
    image = inputs.get("image")
    # The ID of an image that is not pulled yet is unknown at preview: the update checks it.
    if image is not UNKNOWN and not (isinstance(image, str) and _DIGEST.fullmatch(image)):
        yield f"image is {image!r}"


@rule("image-version", cis="5.28", resource_type="docker:index/remoteImage:RemoteImage")
def image_version(inputs: Inputs) -> Iterator[str]:
    """An image is requested with a version.

    Fix: Name a tag other than `latest`, or a digest.
    """
    name = inputs.get("name")
    if not isinstance(name, str):
        yield f"name is {name!r}"
    elif not _DIGEST.fullmatch(name):
        # A colon before the last slash belongs to the registry's port.
        tag = name.rpartition("/")[2].partition(":")[2]
        if tag in ("", "latest"):
            yield f"name is {name!r}"
