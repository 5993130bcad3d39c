"""The OCI runtimes that may hold sandboxes, and in what they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Overhead:
    """Processes and threads of the host that a runtime takes for itself, at all and for each of a sandbox's."""

    pids: int = 0
    pids_for_each: int = 0


@dataclass(frozen=True)
class Runtime:
    """How a runtime holds a sandbox to its profile.

    `arguments` are those with which the engine must start it. With `own_kernel`, a sandbox has a kernel that is a
    program on the host: the host counts that program, and only the program counts the sandbox's processes.
    """

    arguments: tuple[str, ...] = ()
    own_kernel: bool = False
    overhead: Overhead = Overhead()

    def host_pids(self, pids: int) -> int:
        """The limit of the host's control group under which a sandbox can have so many processes and threads."""
        return pids + self.overhead.pids + self.overhead.pids_for_each * pids


ENGINES_OWN = "runc"
"""The one that every Docker Engine has. The others are packages beside it."""

RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        ENGINES_OWN: Runtime(),
        "crun": Runtime(),
        "runsc": Runtime(
            # Without the first it would offer user namespaces, in which a limit of processes is void. Without the
            # second it looks for a network to copy, and kernels since 6.15 look to it as if there were the host's.
            arguments=("--oci-seccomp", "--network=none"),
            own_kernel=True,
            # Twice what 50 busy processes were seen to take, since those that have ended are given back late.
            overhead=Overhead(pids=100, pids_for_each=10),
        ),
    }
)
"""By the name under which the engine knows them. runsc is gVisor."""
