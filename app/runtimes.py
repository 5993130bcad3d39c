"""The OCI runtimes that may hold sandboxes, and in what they differ."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Runtime:
    """How a runtime is called. `options` come before the word `run`, `run_options` after it.

    With `own_kernel` each sandbox has a kernel of its own, a program on the host: the host's control group counts the
    threads of that program, and only the program counts the sandbox's processes.

    `own_pids` are the host processes and threads that the runtime itself uses: a fixed number, and some for each
    sandbox process.
    """

    options: tuple[str, ...]
    run_options: tuple[str, ...]
    own_kernel: bool = False
    own_pids: tuple[int, int] = (0, 0)

    def host_pids(self, pids: int) -> int:
        """The pids limit of the host's control group that leaves a sandbox `pids` processes and threads."""
        fixed, for_each = self.own_pids
        return pids + fixed + for_each * pids


DEFAULT_RUNTIME = "crun"

RUNTIMES: Mapping[str, Runtime] = MappingProxyType(
    {
        DEFAULT_RUNTIME: Runtime(
            # The executor makes the control groups itself.
            options=("--cgroup-manager=disabled",),
            # A session keyring for each sandbox would use up the executor's quota of keys; keyctl is filtered.
            run_options=("--no-new-keyring", "--preserve-fds=1"),
        ),
        "runsc": Runtime(
            options=(
                *("--ignore-cgroups", "--network=none", "--platform=systrap"),
                # Without --oci-seccomp, code can create user namespaces and escape the process limit.
                "--oci-seccomp",
                # The script of an interpreter that waits is a FIFO of the host; an overlay would hide what it becomes.
                *("--host-fifo=open", "--overlay2=none"),
            ),
            run_options=("--pass-fd=3:3",),
            own_kernel=True,
            # Twice the threads that 50 busy processes used in a measurement: runsc frees those of ended ones late.
            own_pids=(100, 10),
        ),
    }
)
"""By the name of the program. runsc is gVisor."""
