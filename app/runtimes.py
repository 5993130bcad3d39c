"""The OCI runtimes that sandboxes can run with, and how they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Runtime:
    """How a runtime enforces the profile.

    `arguments` are those with which Docker must start it. With `own_kernel` each sandbox has a kernel of its own, a
    program on the host: the host's control group counts the threads of that program, and only the program counts the
    sandbox's processes.

    `own_pids` are the host processes and threads that the runtime itself uses: a fixed number, and some for each
    sandbox process.
    """

    arguments: tuple[str, ...] = ()
    own_kernel: bool = False
    own_pids: tuple[int, int] = (0, 0)

    def host_pids(self, pids: int) -> int:
        """The pids limit of the host's control group that leaves a sandbox `pids` processes and threads."""
        fixed, for_each = self.own_pids
        return pids + fixed + for_each * pids


ENGINES_OWN = "runc"
"""The runtime that is part of every Docker. The others are separate packages."""

RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        ENGINES_OWN: Runtime(),
        "crun": Runtime(),
        "runsc": Runtime(
            # Without --oci-seccomp, code can create user namespaces and escape the process limit. Without
            # --network=none, runsc looks for a network to copy, and on kernels since 6.15 finds what it takes for the
            # host's.
            arguments=("--oci-seccomp", "--network=none"),
            own_kernel=True,
            # Twice the threads that 50 busy processes used in a measurement: runsc frees those of ended ones late.
            own_pids=(100, 10),
        ),
    }
)
"""By their names in Docker's configuration. runsc is gVisor."""
