"""Where the services of this package run, and how a Go program is held to its memory."""

from dataclasses import dataclass

import pulumi


@dataclass(frozen=True)
class Place:
    """What every one of them is given. `network` leads nowhere outside."""

    prefix: str
    image: pulumi.Input[str]
    network: pulumi.Input[str]


def go_memory(memory_mb: int) -> dict[str, str]:
    """The environment in which a Go program collects its garbage before it meets the container's limit, in MB."""
    return {"GOMEMLIMIT": f"{memory_mb * 85 // 100}MiB"}
