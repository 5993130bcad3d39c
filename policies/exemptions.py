"""The exemptions from the rules, as exemptions.toml has them."""

import tomllib
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from app.executor.seccomp import for_executor


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    service: str
    reason: str


class Exemption(_Entry):
    """An exemption of one service from one rule."""

    rule: str


class _Readable(_Entry):
    paths: tuple[str, ...]


class Privileges(_Entry):
    """What one service may have beyond the others. With an AppArmor profile comes the executor's seccomp profile."""

    capabilities: frozenset[str]
    with_own_users: frozenset[str] = frozenset()
    apparmor: frozenset[str] = frozenset()


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid")

    exemptions: tuple[Exemption, ...]
    readable: tuple[_Readable, ...]
    privileges: tuple[Privileges, ...]


_FILE = _File.model_validate(tomllib.loads(Path(__file__).with_suffix(".toml").read_text()))
EXEMPTIONS = _FILE.exemptions
_EXEMPTED = frozenset((exemption.service, exemption.rule) for exemption in EXEMPTIONS)
READABLE_PATHS = tuple((readable.service, path) for readable in _FILE.readable for path in readable.paths)
"""Each service with a path of the host that it may read."""
PRIVILEGES = {privileges.service: privileges for privileges in _FILE.privileges}


def exempted(service: str | None, rule: str) -> bool:
    """Whether a service is exempt from a rule."""
    return (service, rule) in _EXEMPTED


def may_read(service: str | None, path: object) -> bool:
    """Whether a service may mount exactly this path of the host, read-only."""
    return (service, path) in READABLE_PATHS


def capabilities_of(service: str | None, *, own_users: bool = False) -> frozenset[str]:
    """The capabilities that a service has, or those that it has with a user namespace of its own."""
    privileges = PRIVILEGES.get(service or "")
    if not privileges:
        return frozenset()
    return privileges.with_own_users if own_users else privileges.capabilities


def security_options_of(service: str | None) -> frozenset[str]:
    """The security options that a service may have, besides no-new-privileges."""
    privileges = PRIVILEGES.get(service or "")
    if not privileges or not privileges.apparmor:
        return frozenset()
    return frozenset({f"seccomp={for_executor()}", *(f"apparmor={name}" for name in privileges.apparmor)})
