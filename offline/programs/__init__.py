"""Programs that no distribution has, compiled from Go modules: for images, where no container registry answers, and one
for this machine's own tests.

Each folder is a Go module that locks one program and what it is made of. After a change of a `go.mod`: remove its
`go.sum`, then run `go list -mod=mod -deps` on the piece's packages, with its tags.
"""

from pathlib import Path

from offline import gomodules
from offline.gomodules import Piece, Reporter
from tools.paths import cache

_FOLDER = Path(__file__).resolve().parent
_TAGS = ("osusergo", "grpcnotrace")
LOKI = "3.7.8"
JAEGER = "2.2.0"
COLLECTOR = "0.149.0"
ACTIONLINT = Piece(
    source=_FOLDER / "actionlint",
    title="actionlint 1.7.12",
    duration="seconds",
    packages=("github.com/rhysd/actionlint/cmd/actionlint",),
    tags=("osusergo",),
)
"""A linter of GitHub's workflows."""


def program(image: str, architecture: str) -> Piece | None:
    """What an image needs compiled, for an engine's architecture (amd64, arm64); None when it needs nothing."""
    return next((piece for piece in _programs(architecture) if piece.source.name == image), None)


def is_there(piece: Piece) -> bool:
    """Whether this machine has compiled it before."""
    return piece.place(_shelf()).is_dir()


def files(piece: Piece) -> Path:
    """The folder with the executable of a program that is there."""
    return piece.place(_shelf())


def check(piece: Piece, log: Path) -> None:
    """Find out whether this machine could compile it.

    Raises:
        BuildError: it lacks Go, a new enough one, or the space.
    """
    gomodules.check(piece, _shelf(), log)


def compile_once(piece: Piece, log: Path, report: Reporter) -> None:
    """Compile a program, if it is not there. Only one process does at a time.

    Raises:
        BuildError: it can't be built.
    """
    if not is_there(piece):
        with gomodules.exclusively(_shelf(), report):
            gomodules.build(piece, _shelf(), log, report)


def _programs(architecture: str) -> tuple[Piece, ...]:
    return (
        Piece(
            source=_FOLDER / "loki",
            title=f"Loki {LOKI}",
            duration="8-12 minutes",
            packages=("github.com/grafana/loki/v3/cmd/loki",),
            tags=_TAGS,
            variables=(f"github.com/grafana/loki/v3/pkg/util/build.Version={LOKI}",),
            container=architecture,
        ),
        Piece(
            source=_FOLDER / "jaeger",
            title=f"Jaeger {JAEGER}",
            duration="3-5 minutes",
            packages=("github.com/jaegertracing/jaeger/cmd/jaeger",),
            tags=_TAGS,
            variables=(f"github.com/jaegertracing/jaeger/pkg/version.latestVersion=v{JAEGER}",),
            container=architecture,
        ),
        Piece(
            source=_FOLDER / "collector",
            title=f"the OpenTelemetry Collector {COLLECTOR}",
            duration="2-4 minutes",
            packages=("./cmd/otelcol-contrib",),
            tags=_TAGS,
            container=architecture,
        ),
    )


def _shelf() -> Path:
    return cache() / "programs"
