"""All exemptions from the rules: the service, the rule or the path, and the reason."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Exemption:
    """An exemption of one service from one rule."""

    service: str
    rule: str
    reason: str


@dataclass(frozen=True)
class ReadablePath:
    """A path of the host that one service may read. No service may write to a path of the host."""

    service: str
    path: str
    reason: str


_SOCKET_IS_ROOTS = (
    "Docker's socket belongs to root. The container has no capabilities, so its root can only access root's files."
)
EXEMPTIONS = (
    Exemption(
        "executor",
        "container-docker-socket",
        "It creates the sandboxes through Docker. It has no network, and its only client, the api, cannot choose an "
        "image, a mount or a flag.",
    ),
    Exemption("executor", "container-user", _SOCKET_IS_ROOTS),
    Exemption(
        "portainer",
        "container-docker-socket",
        "It manages Docker, which needs write access. The edge asks for a password in front of it.",
    ),
    Exemption("portainer", "container-user", _SOCKET_IS_ROOTS),
    Exemption(
        "collector",
        "container-user",
        "The log files of containers belong to root. The container has no capabilities and mounts them read-only.",
    ),
    Exemption(
        "collector",
        "container-healthcheck",
        "Its image has no program that could check it. Prometheus scrapes it, and alerts when no logs arrive.",
    ),
)
_EXEMPTED = frozenset((exemption.service, exemption.rule) for exemption in EXEMPTIONS)


def exempted(service: str | None, rule: str) -> bool:
    """Whether a service is exempt from a rule."""
    return (service, rule) in _EXEMPTED


READABLE_PATHS = (
    ReadablePath("collector", "/var/lib/docker/containers", "Docker writes the containers' logs there."),
    ReadablePath("collector", "/var/log", "The host writes its logs there."),
    ReadablePath(
        "node-exporter",
        "/etc/os-release",
        "The usage of the host's root file system can be read from any file on it, and this one is public.",
    ),
)
_READABLE = frozenset((readable.service, readable.path) for readable in READABLE_PATHS)


def may_read(service: str | None, path: str) -> bool:
    """Whether a service may mount exactly this path of the host, read-only."""
    return (service, path) in _READABLE
