"""Every exception to a rule: which service, from which rule, and why. There are no others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exemption:
    """One service is excused from one rule."""

    service: str
    rule: str
    reason: str


EXEMPTIONS = (
    Exemption(
        "executor",
        "container-engine-socket",
        "It creates the sandboxes through the engine. It has no network, and its only caller can name no image, "
        "mount or flag.",
    ),
    Exemption(
        "executor",
        "container-user",
        "The engine's socket belongs to root. It holds no capability, so this root owns files and nothing else.",
    ),
    Exemption(
        "portainer",
        "container-engine-socket",
        "It is the engine's management interface, read-write by nature, behind the edge's authentication.",
    ),
    Exemption(
        "portainer",
        "container-user",
        "The engine's socket belongs to root. It holds no capability, so this root owns files and nothing else.",
    ),
)
_EXEMPTED = frozenset((exemption.service, exemption.rule) for exemption in EXEMPTIONS)


def exempted(service: str | None, rule: str) -> bool:
    """Whether a service is excused from a rule."""
    return (service, rule) in _EXEMPTED
