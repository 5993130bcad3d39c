"""The environments that visitors' code can run in, and how each one's interpreter is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Environment:
    """One interpreter in its image.

    `code_path` is where the code is written inside the sandbox. `interpreter` is the command that is given that path
    and the visitor's arguments; `{memory_mb}` in it stands for the profile's memory. `version_code` is code in the
    environment's own language that prints its version.
    """

    name: str
    code_path: str
    interpreter: tuple[str, ...]
    version_code: str

    def command(self, memory_mb: int) -> list[str]:
        """The command line of the interpreter and the code, without the visitor's arguments."""
        return [*(part.format(memory_mb=memory_mb) for part in self.interpreter), self.code_path]


ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        environment.name: environment
        for environment in (
            Environment(
                name="python",
                code_path="/tmp/main.py",  # noqa: S108 - a path inside the sandbox
                # Unbuffered: stdout and stderr keep their order, and a run that is stopped keeps what it had printed.
                interpreter=("python3", "-u"),
                version_code="import platform; print(platform.python_version())",
            ),
            Environment(
                name="node",
                code_path="/tmp/main.js",  # noqa: S108
                # Without it V8 gives up at half of the sandbox's memory, and calls that a crash.
                interpreter=("node", "--max-old-space-size={memory_mb}"),
                version_code="console.log(process.versions.node)",
            ),
            Environment(
                name="bash",
                code_path="/tmp/main.sh",  # noqa: S108
                interpreter=("bash",),
                version_code='echo "${BASH_VERSION%%(*}"',
            ),
        )
    }
)
