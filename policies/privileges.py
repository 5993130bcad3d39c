"""Privileges of containers: capabilities, users and security options."""

import re
from collections.abc import Iterator

from policies.exemptions import capabilities_of, security_options_of
from policies.inputs import Inputs
from policies.rules import rule

_NON_ROOT = re.compile(r"[1-9]\d*:[1-9]\d*")
_NO_NEW_PRIVILEGES = {"no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"}
_SHOWN = 60
"""Characters of a security option that a report repeats: a seccomp profile has thousands."""


@rule("container-capabilities-dropped", cis="5.4", running=True)
def capabilities_dropped(inputs: Inputs) -> Iterator[str]:
    """A container drops every Linux capability.

    Fix: Set capabilities.drops to ['ALL'].
    """
    drops = inputs.mapping("capabilities").get("drops")
    if drops != ["ALL"]:
        yield f"capabilities.drops is {drops!r}"


@rule("container-capabilities-added", cis="5.4")
def capabilities_added(inputs: Inputs) -> Iterator[str]:
    """No Linux capability is added to a container.

    Fix: Leave capabilities.adds out. A published port below 1024 needs none: Docker binds it, not the container.
    """
    capabilities = inputs.get("capabilities")
    if not isinstance(capabilities, dict | None):
        yield f"capabilities is {capabilities!r}"
        return
    allowed = capabilities_of(inputs.service)
    added = (capabilities or {}).get("adds") or []
    if not isinstance(added, list) or not allowed.issuperset(added):
        yield f"capabilities.adds is {added!r}, and may have {sorted(allowed)}"


@rule("container-no-new-privileges", cis="5.26", running=True)
def no_new_privileges(inputs: Inputs) -> Iterator[str]:
    """setuid programs gain no privileges in a container.

    Fix: Set securityOpts to ['no-new-privileges:true'].
    """
    options = inputs.sequence("securityOpts")
    if not _NO_NEW_PRIVILEGES.intersection(options):
        yield f"securityOpts is {options!r}"


@rule("container-security-options", cis="5.2, 5.3, 5.22")
def security_options(inputs: Inputs) -> Iterator[str]:
    """Docker's seccomp, AppArmor and SELinux profiles stay on; the executor has profiles of its own.

    Fix: Remove all security options but no-new-privileges, and the executor's profiles as the program makes them.
    """
    allowed = _NO_NEW_PRIVILEGES | security_options_of(inputs.service)
    for option in inputs.sequence("securityOpts"):
        if option not in allowed:
            yield f"the security option {str(option)[:_SHOWN]!r}"


@rule("container-user", cis="4.1", running=True)
def user(inputs: Inputs) -> Iterator[str]:
    """A container's process does not run as root.

    Fix: Set `user` to a numeric uid:gid, neither of them 0. A name could mean root in the image.
    """
    value = inputs.get("user")
    if not isinstance(value, str) or not _NON_ROOT.fullmatch(value):
        yield f"user is {value!r}"
