"""Programs that no distribution packages, compiled from Go modules: for images, where no container registry answers,
and actionlint for this machine's own tests.

Each folder is a Go module that locks one program and its dependencies. After a change of a `go.mod`: remove its
`go.sum`, then run `go list -mod=mod -deps` on the build's packages, with its tags.
"""

from pathlib import Path

from offline.gomodules import GoBuild

_FOLDER = Path(__file__).resolve().parent
_TAGS = ("osusergo", "grpcnotrace")
LOKI = "3.7.8"
JAEGER = "2.2.0"
COLLECTOR = "0.149.0"
ACTIONLINT = GoBuild(
    source=_FOLDER / "actionlint",
    title="actionlint 1.7.12",
    duration="seconds",
    packages=("github.com/rhysd/actionlint/cmd/actionlint",),
    tags=("osusergo",),
)
"""A linter of GitHub's workflows."""


def program(image: str, architecture: str) -> GoBuild | None:
    """What an image needs compiled, for Docker's architecture (amd64, arm64); None when it needs nothing."""
    return next((build for build in _programs(architecture) if build.source.name == image), None)


def _programs(architecture: str) -> tuple[GoBuild, ...]:
    return (
        GoBuild(
            source=_FOLDER / "loki",
            title=f"Loki {LOKI}",
            duration="8-12 minutes",
            packages=("github.com/grafana/loki/v3/cmd/loki",),
            tags=_TAGS,
            variables=(f"github.com/grafana/loki/v3/pkg/util/build.Version={LOKI}",),
            container=architecture,
        ),
        GoBuild(
            source=_FOLDER / "jaeger",
            title=f"Jaeger {JAEGER}",
            duration="3-5 minutes",
            packages=("github.com/jaegertracing/jaeger/cmd/jaeger",),
            tags=_TAGS,
            variables=(f"github.com/jaegertracing/jaeger/pkg/version.latestVersion=v{JAEGER}",),
            container=architecture,
        ),
        GoBuild(
            source=_FOLDER / "collector",
            title=f"the OpenTelemetry Collector {COLLECTOR}",
            duration="2-4 minutes",
            packages=("./cmd/otelcol-contrib",),
            tags=_TAGS,
            container=architecture,
        ),
    )
