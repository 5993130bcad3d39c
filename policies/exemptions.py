"""Every exception to a rule: which service, from which rule or for which path, and why. There are no others."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exemption:
    """One service is excused from one rule."""

    service: str
    rule: str
    reason: str


@dataclass(frozen=True)
class ReadablePath:
    """One service may read one path of the host, and nothing above it. No service may write any."""

    service: str
    path: str
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
    Exemption(
        "collector",
        "container-user",
        "The files of the containers' logs belong to root. It holds no capability and can write none of them.",
    ),
    Exemption(
        "collector",
        "container-healthcheck",
        "Its image holds one program, which can't be asked. Prometheus scrapes it, and alerts when no logs arrive.",
    ),
)
_EXEMPTED = frozenset((exemption.service, exemption.rule) for exemption in EXEMPTIONS)


def exempted(service: str | None, rule: str) -> bool:
    """Whether a service is excused from a rule."""
    return (service, rule) in _EXEMPTED


READABLE_PATHS = (
    ReadablePath("collector", "/var/lib/docker/containers", "The logs of the containers are files of the engine."),
    ReadablePath("collector", "/var/log", "The host's own logs are there."),
    ReadablePath(
        "node-exporter",
        "/etc/os-release",
        "The fill of the host's root disk is read off any file of it. This one everybody may read.",
    ),
)
_READABLE = frozenset((readable.service, readable.path) for readable in READABLE_PATHS)


def may_read(service: str | None, path: str) -> bool:
    """Whether a service may see a path of the host, spelt exactly so, without writing it."""
    return (service, path) in _READABLE
