"""The OCI runtimes that may hold sandboxes, and in what they differ: read from runtimes.toml."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import ConfigDict, TypeAdapter


@dataclass(frozen=True)
class Runtime:
    """How a runtime is called. `options` come before the word `run`, `run_options` after it.

    With `own_kernel` each sandbox has a kernel of its own, a program on the host: the host's control group counts the
    threads of that program, and only the program counts the sandbox's processes.

    `own_pids` are the host processes and threads that the runtime itself uses: a fixed number, and some for each
    sandbox process.
    """

    __pydantic_config__ = ConfigDict(extra="forbid")

    options: tuple[str, ...]
    run_options: tuple[str, ...]
    own_kernel: bool = False
    own_pids: tuple[int, int] = (0, 0)

    def host_pids(self, pids: int) -> int:
        """The pids limit of the host's control group that leaves a sandbox `pids` processes and threads."""
        fixed, for_each = self.own_pids
        return pids + fixed + for_each * pids


DEFAULT_RUNTIME = "crun"

RUNTIMES = MappingProxyType(
    TypeAdapter(dict[str, Runtime]).validate_python(tomllib.loads(Path(__file__).with_suffix(".toml").read_text()))
)
"""By the name of the program. runsc is gVisor."""
