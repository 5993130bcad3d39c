"""Programs that no distribution packages, compiled from Go modules: for images, where no container registry answers,
and actionlint for this machine's own tests.

Each folder is a Go module that locks one program and its dependencies. After a change of a `go.mod`: remove its
`go.sum`, then run `go list -mod=mod -deps` on the build's packages, with its tags.
"""

from pathlib import Path

from offline import gomodules
from offline.gomodules import GoBuild

_FOLDER = Path(__file__).resolve().parent
_TAGS = ("osusergo", "grpcnotrace")
ACTIONLINT = GoBuild(
    source=_FOLDER / "actionlint",
    title=f"actionlint {gomodules.required(_FOLDER / 'actionlint', 'github.com/rhysd/actionlint')}",
    duration="seconds",
    packages=("github.com/rhysd/actionlint/cmd/actionlint",),
    tags=("osusergo",),
)
"""A linter of GitHub's workflows."""


def program(image: str, architecture: str) -> GoBuild | None:
    """What an image needs compiled, for Docker's architecture (amd64, arm64); None when it needs nothing."""
    return next((build for build in _programs(architecture) if build.source.name == image), None)


def _jaeger() -> str:
    """The version of Jaeger 2 that is locked. Its module counts on from Jaeger 1: 1.63.0 is 2.0.0."""
    major, minor, patch = map(int, gomodules.required(_FOLDER / "jaeger", "github.com/jaegertracing/jaeger").split("."))
    return f"{major + 1}.{minor - 63}.{patch}"


def _programs(architecture: str) -> tuple[GoBuild, ...]:
    loki = gomodules.required(_FOLDER / "loki", "github.com/grafana/loki/v3")
    jaeger = _jaeger()
    collector = gomodules.required(_FOLDER / "collector", "go.opentelemetry.io/collector/otelcol")
    return (
        GoBuild(
            source=_FOLDER / "loki",
            title=f"Loki {loki}",
            duration="8-12 minutes",
            packages=("github.com/grafana/loki/v3/cmd/loki",),
            tags=_TAGS,
            variables=(f"github.com/grafana/loki/v3/pkg/util/build.Version={loki}",),
            container=architecture,
        ),
        GoBuild(
            source=_FOLDER / "jaeger",
            title=f"Jaeger {jaeger}",
            duration="3-5 minutes",
            packages=("github.com/jaegertracing/jaeger/cmd/jaeger",),
            tags=_TAGS,
            variables=(f"github.com/jaegertracing/jaeger/internal/version.latestVersion=v{jaeger}",),
            container=architecture,
        ),
        GoBuild(
            source=_FOLDER / "collector",
            title=f"the OpenTelemetry Collector {collector}",
            duration="2-4 minutes",
            packages=("./cmd/otelcol-contrib",),
            tags=_TAGS,
            container=architecture,
        ),
    )
