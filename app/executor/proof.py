"""Tries each limit of the sandbox once, from inside a real one, before the executor serves visitors."""

from collections.abc import Mapping

from app.executor.apparmor import BOTH, SANDBOX
from app.executor.workshop import OciWorkshop
from app.profile import SandboxProfile

_SPIN_MILLISECONDS = 400
_OVER = 1.3
"""Factor by which the measured share may exceed the limit: a trial is only a few of the kernel's periods of 100 ms."""
_TOO_MUCH_MB = 32


class Unheld(Exception):
    """The host, or the runtime on it, does not hold a limit of the profile. The message names it and the fix."""

    def __init__(self, limit: str, found: str) -> None:
        super().__init__(
            f"this host does not hold the sandbox's limit of {limit}: a trial found {found}. "
            "docs/GETTING_STARTED.md says what a host needs."
        )


async def prove(workshop: OciWorkshop, profile: SandboxProfile, *, apparmor: bool) -> None:
    """Return when a sandbox is held to all of the profile, and with `apparmor` by AppArmor; else raise `Unheld`."""
    trial = await workshop.probe([str(profile.memory_mb + _TOO_MUCH_MB)])
    # Who is killed depends on the runtime: the program alone, or with gVisor the sandbox as a whole.
    if trial.said or not trial.usage.memory_kills:
        raise Unheld(f"{profile.memory_mb} MB of memory", trial.said.strip() or "that nothing was killed")
    trial = await workshop.probe([str(2 * profile.pids), str(_SPIN_MILLISECONDS)])
    found = {name: value for name, _, value in (line.partition(" ") for line in trial.said.splitlines())}
    share = trial.usage.cpu_seconds / trial.seconds
    for limit, held, seen in _claims(found, profile, share):
        if not held:
            raise Unheld(limit, seen)
    if apparmor and found.get("apparmor") != BOTH:
        seen = f"{found.get('apparmor', 'nothing')!r}; load infra/host/apparmor/*, or set engine.apparmor to false"
        raise Unheld(f"the AppArmor profile {SANDBOX}", seen)


def _claims(found: Mapping[str, str], profile: SandboxProfile, share: float) -> tuple[tuple[str, bool, str], ...]:
    """Each limit, whether it holds, and what was found."""

    def told(name: str) -> str:
        return found.get(name, "nothing").strip()

    return (
        (
            f"{profile.pids} processes",
            told("processes").isdecimal() and int(told("processes")) <= profile.pids,
            f"{told('processes')} of them",
        ),
        (f"{profile.cpus:g} processors", share <= profile.cpus * _OVER, f"a share of {share:.2f}"),
        ("no network", told("interfaces") == "0", f"{told('interfaces')} interfaces"),
        ("a read-only root", told("root") not in ("writable", "nothing"), f"it {told('root')}"),
        ("a user that is not root", told("user") not in ("0", "nothing"), f"user {told('user')}"),
        ("no capabilities", told("capabilities").strip("0") == "", f"capabilities {told('capabilities')}"),
        ("no new privileges", told("no_new_privileges") == "1", told("no_new_privileges")),
        ("a filter of system calls", told("seccomp") == "2", f"mode {told('seccomp')}"),
    )
