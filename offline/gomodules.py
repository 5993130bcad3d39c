"""Programs compiled from Go modules, once for a machine, where their releases can't be downloaded.

A `GoBuild` describes what one Go module of this checkout compiles to. `BuildCache` compiles it in a temporary folder
and renames that when the build has ended, so that an interrupted build is never taken for a finished one.
"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

GIB = 1024**3
SPACE_NEEDED = 6 * GIB
"""Free bytes needed for a first build, as measured: Go's build cache, its modules, 0.5 GiB of outputs and scratch."""

_RECIPE_FILES = ("go.mod", "go.sum", "*.go")
_UNFINISHED = ".building-"

Reporter = Callable[[str], None]
"""Takes a short line of progress."""


@dataclass(frozen=True)
class ModuleFile:
    """A file that a Go module contains besides its code."""

    module: str
    path: str


@dataclass(frozen=True)
class GoBuild:
    """What one Go module of this checkout compiles to."""

    source: Path
    """The Go module's folder."""
    title: str
    """Shown to the user while it compiles."""
    duration: str
    """Of a first build on 2 cores, as measured."""
    packages: tuple[str, ...]
    """Go commands; each becomes an executable of its last name."""
    tags: tuple[str, ...]
    variables: tuple[str, ...] = ()
    """Go variables that the linker sets: `package.Name=value`."""
    files: tuple[ModuleFile, ...] = ()
    """Copied beside the executables, and executable themselves."""
    container: str | None = None
    """The architecture of the containers that it runs in, as Docker names it: amd64, arm64. None: it runs on this
    machine."""

    def flags(self) -> list[str]:
        """What both `go list` and `go build` need to see the same code."""
        return ["-mod=readonly", "-tags", ",".join(self.tags)]

    def build_flags(self) -> list[str]:
        linker = ["-s", "-w", *(f"-X {variable}" for variable in self.variables)]
        return [*self.flags(), "-trimpath", "-buildvcs=false", "-ldflags", " ".join(linker)]

    def target(self) -> dict[str, str]:
        """The environment that tells Go what to compile for."""
        return {"GOOS": "linux", "GOARCH": self.container} if self.container else {}

    def key(self) -> str:
        """A hash of all that determines the result, except the version of Go: a newer compiler is no reason to build
        again, and a finished build must be found after Go has been removed."""
        digest = hashlib.sha256()
        files = sorted({file for pattern in _RECIPE_FILES for file in self.source.rglob(pattern)})
        for file in files:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(self.source)} {content}\n".encode())
        made_from = [self.packages, self.build_flags(), [(file.module, file.path) for file in self.files]]
        runs_on = ["Linux", self.container] if self.container else [platform.system(), platform.machine()]
        digest.update(json.dumps([made_from, *runs_on]).encode())
        return digest.hexdigest()[:16]


class BuildError(Exception):
    """A build can't be done. The message says why and what to do; `log` is the file of Go's output."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


@dataclass(frozen=True)
class BuildCache:
    """A folder that holds finished builds, each under a hash of its recipe. It may be deleted at any time."""

    root: Path

    def folder(self, build: GoBuild) -> Path:
        """The folder of its files, which exists once all of them are built."""
        return self.root / f"{build.source.name}-{build.key()}"

    def has(self, build: GoBuild) -> bool:
        """Whether this machine has compiled it before."""
        return self.folder(build).is_dir()

    def check(self, build: GoBuild, log: Path) -> None:
        """Find out whether a build could start.

        Raises:
            BuildError: this machine lacks Go, a new enough one, or the disk space.
        """
        _Go(build, scratch=self.root, log=log).check(SPACE_NEEDED, self.root)

    def ensure(self, build: GoBuild, log: Path, report: Reporter) -> Path:
        """The folder of a build's files, compiled first if they are not there. One process builds at a time.

        Raises:
            BuildError: Go is missing or too old, the disk is too full, a module can't be downloaded, or the code does
                not compile.
        """
        if not self.has(build):
            with self.locked(report):
                self.compile(build, log, report)
        return self.folder(build)

    def compile(self, build: GoBuild, log: Path, report: Reporter) -> Path:
        """As `ensure`, for a caller that holds the lock."""
        if not self.has(build):
            with finished_as(self.folder(build)) as folder:
                _compile(build, folder, _Go(build, scratch=folder.parent, log=log), report)
        return self.folder(build)

    @contextlib.contextmanager
    def locked(self, report: Reporter) -> Iterator[None]:
        """Hold the folder's lock, which ends with the process, and remove what an interrupted build has left."""
        self.root.mkdir(parents=True, exist_ok=True)
        with (self.root / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                report("waiting for another process, which is building the same")
                fcntl.flock(lock, fcntl.LOCK_EX)
            for leftover in self.root.glob(f"{_UNFINISHED}*"):
                shutil.rmtree(leftover)
            yield


@contextlib.contextmanager
def finished_as(target: Path) -> Iterator[Path]:
    """A temporary folder that is renamed to `target` when the block succeeds, and removed when it fails.

    An interrupted compiler may still be writing there: what can't be removed for that reason is left to the next build.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target.parent, ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        yield folder
        folder.rename(target)


def _compile(build: GoBuild, folder: Path, go: "_Go", report: Reporter) -> None:
    go.check(SPACE_NEEDED, folder)
    report(f"downloading the Go modules of {build.title}")
    go.run(
        ["list", "-deps", *build.flags(), *build.packages],
        failure="can't be had: see whether this machine reaches its Go module service (`go env GOPROXY`) and whether "
        "that serves the module named here",
    )
    report(f"compiling {build.title} ({build.duration}, once for a machine)")
    go.run(["build", *build.build_flags(), "-o", f"{folder}{os.sep}", *build.packages], failure="did not compile")
    for file in build.files:
        module = go.run(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", file.module], failure="has no such module")
        installed = folder / Path(file.path).name
        shutil.copyfile(Path(module.strip()) / file.path, installed)
        installed.chmod(0o755)


class _Go:
    """Runs the user's Go for one build."""

    def __init__(self, build: GoBuild, scratch: Path, log: Path) -> None:
        self._build = build
        self._log = log
        # Without cgo, a machine gets the same programs whether or not it has a C compiler. The scratch files go to
        # the folder whose space was checked, and disappear with it.
        self._environment = {**os.environ, **build.target(), "CGO_ENABLED": "0", "GOTMPDIR": str(scratch)}

    def check(self, space: int, folder: Path) -> None:
        """Raise BuildError if this machine lacks Go, a new enough version, or `space` free bytes."""
        needed = _required_go(self._build.source)
        advice = f"Install Go {needed} or newer (go.dev/dl), put its `go` on PATH, and run this again."
        if shutil.which("go") is None:
            raise BuildError(f"Go is needed to build {self._build.title}, and is not on PATH. {advice}", self._log)
        version, *caches = self.run(
            ["env", "GOVERSION", "GOCACHE", "GOMODCACHE"], failure=f"needs Go {needed}. {advice}"
        ).splitlines()
        if _numbers(version) < _numbers(needed):
            raise BuildError(f"{version} is too old to build {self._build.title}. {advice}", self._log)
        for place in (folder, *map(Path, caches)):
            present = next(parent for parent in (place, *place.parents) if parent.exists())
            free = shutil.disk_usage(present).free
            if free < space:
                raise BuildError(
                    f"{free / GIB:.1f} GiB are free at {place}, and building {self._build.title} may take "
                    f"{space / GIB:.0f} GiB. Make room there, and run this again.",
                    self._log,
                )

    def run(self, arguments: list[str], failure: str) -> str:
        """Run `go` with its errors in the log, and return its output.

        Raises:
            BuildError: it failed; `failure` completes the sentence that begins with the build's title.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a+b") as log:
            log.write(f"$ go {' '.join(arguments)}\n".encode())
            log.flush()
            start = log.tell()
            done = subprocess.run(
                ["go", *arguments],
                cwd=self._build.source,
                env=self._environment,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                check=False,
            )
            log.seek(start)
            errors = log.read().decode(errors="replace").strip()
        if done.returncode != 0:
            last = errors.rpartition("\n")[2] or f"go exited with {done.returncode}"
            raise BuildError(f"{self._build.title} {failure}. Go says: {last}", self._log)
        return done.stdout


def required(module: Path, dependency: str) -> str:
    """The version of a dependency, without its `v`, that the `go.mod` of the Go module in folder `module` requires."""
    file = module / "go.mod"
    found = re.search(rf"^(?:require)?\s+{re.escape(dependency)} v(\S+)", file.read_text(), re.MULTILINE)
    if not found:
        raise ValueError(f"{file} does not require {dependency}")
    return found[1]


def _required_go(module: Path) -> str:
    """The oldest Go that the module compiles with, as its go.mod says."""
    for line in (module / "go.mod").read_text().splitlines():
        if line.startswith("go "):
            return line.removeprefix("go ").strip()
    raise ValueError(f"{module / 'go.mod'} has no line that begins with go")


def _numbers(version: str) -> tuple[int, ...]:
    """(1, 25, 8) of go1.25.8, of 1.25.8, and of longer names of development versions."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
