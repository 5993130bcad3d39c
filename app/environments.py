"""The environments that visitors' code can run in, and how each one's interpreter is started."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

_BOOT = "import sys; sys.path[0] = '/opt'; from guest.supervisor import main; main()"
"""PID 1. The assignment keeps the visitors' folder from ever being one where it looks for modules."""

_DATA_PACKAGES = ("numpy", "pandas", "matplotlib")


@dataclass(frozen=True)
class Environment:
    """One interpreter in its image.

    `main` is the name of code that comes without one. `guest` is the command of PID 1, `app.guest`, which starts the
    interpreter; `{memory_mb}` in it stands for the profile's memory. `survey` is code in the environment's own language
    that prints JSON of its `version` and its `packages`, version by name.
    """

    name: str
    aliases: tuple[str, ...]
    main: str
    guest: tuple[str, ...]
    survey: str

    def command(self, memory_mb: int) -> list[str]:
        """The command line of PID 1."""
        return [part.format(memory_mb=memory_mb) for part in self.guest]


def _python(*preload: str) -> tuple[str, ...]:
    # Unbuffered: stdout and stderr keep their order, and a run that is stopped keeps what it had printed.
    return ("python3", "-u", "-c", _BOOT, "python", *preload)


def _python_survey(*packages: str) -> str:
    # Debian adds "+dfsg" to some versions.
    return f"""
import json, platform
from importlib.metadata import version
packages = {{name: version(name).partition("+")[0] for name in {packages}}}
print(json.dumps({{"version": platform.python_version(), "packages": packages}}))
"""


def _program(*command: str) -> tuple[str, ...]:
    return ("python3", "-I", "-S", "-c", _BOOT, *command)


ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        environment.name: environment
        for environment in (
            Environment(
                name="python",
                aliases=("py", "python3"),
                main="main.py",
                guest=_python(),
                survey=_python_survey(),
            ),
            Environment(
                name="python-data",
                aliases=(),
                main="main.py",
                guest=_python(*_DATA_PACKAGES, "matplotlib.pyplot"),
                survey=_python_survey(*_DATA_PACKAGES),
            ),
            Environment(
                name="node",
                aliases=("javascript", "js"),
                main="main.js",
                # Without it V8 gives up at half of the sandbox's memory, and calls that a crash.
                guest=_program("node", "--max-old-space-size={memory_mb}"),
                survey="console.log(JSON.stringify({ version: process.versions.node, packages: {} }))",
            ),
            Environment(
                name="bash",
                aliases=("sh", "shell"),
                main="main.sh",
                guest=_program("bash"),
                survey="""printf '{"version": "%s", "packages": {}}' "${BASH_VERSION%%(*}" """,
            ),
        )
    }
)

_NAMES: Mapping[str, str] = MappingProxyType(
    {alias: environment.name for environment in ENVIRONMENTS.values() for alias in environment.aliases}
)


def canonical(name: str) -> str:
    """The name of the environment that has this alias; any other text as it is."""
    return _NAMES.get(name, name)
