"""Build the Pulumi engine and its plugins from Go modules, once for a machine.

Two words: a *piece* is what one Go module of this folder compiles to, and is cached by itself; the *engine* is all
pieces, laid out as Pulumi looks for them. Both are made in a temporary folder and renamed when they are whole, so that
an interrupted build is never taken for a whole one, and costs no more than the piece it was at.
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
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from tools import paths

RECIPE = Path(__file__).resolve().parent

GIB = 1024**3
SPACE_NEEDED = 6 * GIB
"""Free bytes for a first build, by measurement: Go's build cache, its modules, and 0.5 GiB of outputs and scratch."""

_RECIPE_FILES = ("go.mod", "go.sum", "*.go")
_UNFINISHED = ".building-"

Reporter = Callable[[str], None]
"""Takes a short line of progress."""


@dataclass(frozen=True)
class ModuleFile:
    """An executable script that a Go module carries beside its code."""

    module: str
    path: str


@dataclass(frozen=True)
class Piece:
    """What one Go module of this folder compiles to."""

    folder: str
    """The Go module's folder, beside this file."""
    title: str
    """What the user reads while it compiles."""
    duration: str
    """Of a first build on 2 cores, as measured."""
    packages: tuple[str, ...]
    """Go commands; each becomes an executable of its last name."""
    destination: str
    """Where its files lie in the engine's folder."""
    tags: tuple[str, ...]
    variables: tuple[str, ...] = ()
    """Go variables that the linker sets: `package.Name=value`."""
    scripts: tuple[ModuleFile, ...] = ()

    @property
    def source(self) -> Path:
        return RECIPE / self.folder

    def flags(self) -> list[str]:
        """What both `go list` and `go build` need to see the same code."""
        return ["-mod=readonly", "-tags", ",".join(self.tags)]

    def build_flags(self) -> list[str]:
        linker = ["-s", "-w", *(f"-X {variable}" for variable in self.variables)]
        return [*self.flags(), "-trimpath", "-buildvcs=false", "-ldflags", " ".join(linker)]

    def key(self) -> str:
        """Of everything that decides what comes out, but the version of Go: a newer compiler is no reason to build
        again, and what was built must be found when Go has been removed."""
        digest = hashlib.sha256()
        files = sorted({file for pattern in _RECIPE_FILES for file in self.source.rglob(pattern)})
        for file in files:
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(self.source)} {content}\n".encode())
        made_from = [self.packages, self.build_flags(), [(script.module, script.path) for script in self.scripts]]
        digest.update(json.dumps([made_from, platform.system(), platform.machine()]).encode())
        return digest.hexdigest()[:16]


PULUMI = "3.228.0"
DOCKER_PLUGIN = "5.2.0"

PIECES = (
    Piece(
        folder="cli",
        title=f"pulumi {PULUMI}",
        duration="3-6 minutes",
        packages=("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "./cmd/pulumi-language-python"),
        destination="bin",
        tags=("osusergo", "grpcnotrace"),
        variables=(f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",),
        scripts=(ModuleFile("github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),),
    ),
    Piece(
        folder="docker",
        title=f"the docker plugin {DOCKER_PLUGIN}",
        duration="3-6 minutes",
        packages=("./cmd/pulumi-resource-docker",),
        destination=f"home/plugins/resource-docker-v{DOCKER_PLUGIN}",
        tags=("osusergo", "grpcnotrace", "no_compose"),
    ),
)


@dataclass(frozen=True)
class Engine:
    """A Pulumi that is ready to run."""

    pulumi: Path
    """The command line's executable."""
    environment: dict[str, str]
    """What to set on top of the caller's environment: the plugins are found, and nothing is downloaded."""


class EngineBuildError(Exception):
    """The engine can't be built. The message says why and what to do; `log` is the file of what Go printed."""

    def __init__(self, message: str, log: Path) -> None:
        super().__init__(message)
        self.log = log


def ensure(cache: Path, log: Path, report: Reporter) -> Engine:
    """The engine of this recipe out of `<cache>/engine`, built there first if need be.

    Only one process builds at a time; another one waits for it and takes the result.

    Raises:
        EngineBuildError: Go is missing or too old, the disk too full, a module not to be had, or the code not to be
            compiled.
    """
    shelf = cache / "engine"
    keys = [piece.key() for piece in PIECES]
    whole = shelf / hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    if not whole.is_dir():
        with _exclusively(shelf, report):
            if not whole.is_dir():
                built = [_piece(piece, key, shelf, log, report) for piece, key in zip(PIECES, keys, strict=True)]
                _lay_out(built, whole)
    return Engine(
        pulumi=whole / "bin" / "pulumi",
        environment={
            "PULUMI_HOME": str(whole / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        },
    )


@contextlib.contextmanager
def _exclusively(shelf: Path, report: Reporter) -> Iterator[None]:
    """Hold the shelf's lock, which the system takes back from a process that dies, and clear what such a one left."""
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another process, which is building the engine")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for leftover in shelf.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(leftover)
        yield


@contextlib.contextmanager
def _finished_as(target: Path) -> Iterator[Path]:
    """A temporary folder that becomes `target` when the block ends well, and vanishes when it doesn't.

    An interrupted compiler may still be writing there: what then can't be removed is left to the next build.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_UNFINISHED, dir=target.parent, ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / target.name
        folder.mkdir()
        yield folder
        folder.rename(target)


def _piece(piece: Piece, key: str, shelf: Path, log: Path, report: Reporter) -> tuple[Piece, Path]:
    target = shelf / f"{piece.folder}-{key}"
    if not target.is_dir():
        with _finished_as(target) as folder:
            _compile(piece, folder, _Go(piece, scratch=folder.parent, log=log), report)
    return piece, target


def _compile(piece: Piece, folder: Path, go: "_Go", report: Reporter) -> None:
    go.check(SPACE_NEEDED, folder)
    report(f"downloading the Go modules of {piece.title}")
    go.run(
        ["list", "-deps", *piece.flags(), *piece.packages],
        failure="can't be had: see whether this machine reaches its Go module service (`go env GOPROXY`) and whether "
        "that serves the module named here",
    )
    report(f"compiling {piece.title} ({piece.duration}, once for a machine)")
    go.run(["build", *piece.build_flags(), "-o", f"{folder}{os.sep}", *piece.packages], failure="did not compile")
    for script in piece.scripts:
        module = go.run(["list", "-mod=readonly", "-m", "-f", "{{.Dir}}", script.module], failure="has no such module")
        installed = folder / Path(script.path).name
        shutil.copyfile(Path(module.strip()) / script.path, installed)
        installed.chmod(0o755)


def _lay_out(built: list[tuple[Piece, Path]], whole: Path) -> None:
    """Link the pieces' files to their places: the same bytes, on the disk once."""
    with _finished_as(whole) as folder:
        for piece, files in built:
            place = folder / piece.destination
            place.mkdir(parents=True)
            for file in files.iterdir():
                os.link(file, place / file.name)


class _Go:
    """The user's Go, as it is set up, at work on one piece."""

    def __init__(self, piece: Piece, scratch: Path, log: Path) -> None:
        self._piece = piece
        self._log = log
        # Without cgo, a machine gets the same programs whether or not it has a C compiler. The scratch files go to
        # the folder whose space was checked, and disappear with it.
        self._environment = {**os.environ, "CGO_ENABLED": "0", "GOTMPDIR": str(scratch)}

    def check(self, space: int, folder: Path) -> None:
        """Raises EngineBuildError if this machine lacks Go, a new enough one, or the space (bytes)."""
        needed = _required_go(self._piece.source)
        advice = f"Install Go {needed} or newer (go.dev/dl), put its `go` on PATH, and run this again."
        if shutil.which("go") is None:
            raise EngineBuildError(
                f"Go is needed to build {self._piece.title}, and is not on PATH. {advice}", self._log
            )
        version, *caches = self.run(
            ["env", "GOVERSION", "GOCACHE", "GOMODCACHE"], failure=f"needs Go {needed}. {advice}"
        ).splitlines()
        if _numbers(version) < _numbers(needed):
            raise EngineBuildError(f"{version} is too old to build {self._piece.title}. {advice}", self._log)
        for place in (folder, *map(Path, caches)):
            present = next(parent for parent in (place, *place.parents) if parent.exists())
            free = shutil.disk_usage(present).free
            if free < space:
                raise EngineBuildError(
                    f"{free / GIB:.1f} GiB are free at {place}, and building {self._piece.title} may take "
                    f"{space / GIB:.0f} GiB. Make room there, and run this again.",
                    self._log,
                )

    def run(self, arguments: list[str], failure: str) -> str:
        """Run `go`, its errors into the log, and return what it printed.

        Raises:
            EngineBuildError: it failed; `failure` completes the sentence that begins with the piece's title.
        """
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("a+b") as log:
            log.write(f"$ go {' '.join(arguments)}\n".encode())
            log.flush()
            start = log.tell()
            done = subprocess.run(
                ["go", *arguments],
                cwd=self._piece.source,
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
            raise EngineBuildError(f"{self._piece.title} {failure}. Go says: {last}", self._log)
        return done.stdout


def _required_go(module: Path) -> str:
    """The oldest Go that the module compiles with, by its own word."""
    for line in (module / "go.mod").read_text().splitlines():
        if line.startswith("go "):
            return line.removeprefix("go ").strip()
    raise ValueError(f"{module / 'go.mod'} has no line that begins with go")


def _numbers(version: str) -> tuple[int, ...]:
    """(1, 25, 8) of go1.25.8, of 1.25.8, and of longer names of development versions."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def main() -> int:
    try:
        engine = ensure(paths.cache(), paths.cache() / "engine.log", print)
    except EngineBuildError as error:
        print(f"{error}\nThe whole log: {error.log}", file=sys.stderr)
        return 1
    print(f"pulumi: {engine.pulumi}")
    for name, value in engine.environment.items():
        print(f"{name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
