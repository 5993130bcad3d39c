"""All exemptions from the rules: the service, the rule, the path or the privileges, and the reason."""

from dataclasses import dataclass

from app.executor import apparmor
from app.executor.seccomp import for_executor


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
        "container-user",
        "Its launcher needs capabilities of the container's root, and then gives up that user for a user namespace.",
    ),
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
        "container-exporter",
        "container-user",
        "Docker's files about containers belong to root. The container has no capabilities and mounts them read-only.",
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


_CGROUPS = "/sys/fs/cgroup"
"""With cgroup v2 one hierarchy, with v1 a folder for the hierarchy of each controller."""

READABLE_PATHS = (
    ReadablePath("collector", "/var/lib/docker/containers", "Docker writes the containers' logs there."),
    ReadablePath("collector", "/var/log", "The host writes its logs there."),
    ReadablePath("container-exporter", "/var/lib/docker/containers", "Docker keeps the containers' names there."),
    *(
        ReadablePath("container-exporter", path, "The kernel's counters of each container are there.")
        for path in (_CGROUPS, *(f"{_CGROUPS}/{controller}" for controller in ("cpuacct", "memory", "pids")))
    ),
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


@dataclass(frozen=True)
class Privileges:
    """What one service may have beyond the others: exactly these capabilities and these profiles.

    `apparmor` has the name of its AppArmor profile, and what it has on a host without AppArmor.
    """

    service: str
    capabilities: frozenset[str]
    seccomp: str
    apparmor: frozenset[str]
    reason: str


PRIVILEGES = (
    Privileges(
        "executor",
        frozenset({"CAP_SYS_ADMIN", "CAP_SETUID", "CAP_SETGID", "CAP_CHOWN", "CAP_MKNOD"}),
        for_executor(),
        frozenset({apparmor.EXECUTOR, "unconfined"}),
        "Its launcher makes control groups, the sandboxes' devices and a user namespace. What runs after it has "
        "capabilities in that namespace alone.",
    ),
)
_PRIVILEGED = {privileges.service: privileges for privileges in PRIVILEGES}


def capabilities_of(service: str | None) -> frozenset[str]:
    """The capabilities that a service has."""
    privileges = _PRIVILEGED.get(service or "")
    return privileges.capabilities if privileges else frozenset()


def security_options_of(service: str | None) -> frozenset[str]:
    """The security options that a service may have, besides no-new-privileges."""
    privileges = _PRIVILEGED.get(service or "")
    if not privileges:
        return frozenset()
    return frozenset({f"seccomp={privileges.seccomp}", *(f"apparmor={name}" for name in privileges.apparmor)})
