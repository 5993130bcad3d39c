"""Build the Pulumi engine and its plugins from Go modules: all pieces, laid out as Pulumi looks for them."""

import hashlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from offline import gomodules
from offline.gomodules import BuildError, ModuleFile, Piece, Reporter
from tools import paths

RECIPE = Path(__file__).resolve().parent

PULUMI = "3.228.0"
DOCKER_PLUGIN = "5.2.0"
COMMAND_PLUGIN = "1.2.1"
CLOUDFLARE_PLUGIN = "6.23.1"

PIECES = {
    "bin": Piece(
        source=RECIPE / "cli",
        title=f"pulumi {PULUMI}",
        duration="3-6 minutes",
        packages=("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "./cmd/pulumi-language-python"),
        tags=("osusergo", "grpcnotrace"),
        variables=(f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",),
        scripts=(ModuleFile("github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),),
    ),
    f"home/plugins/resource-docker-v{DOCKER_PLUGIN}": Piece(
        source=RECIPE / "docker",
        title=f"the docker plugin {DOCKER_PLUGIN}",
        duration="3-6 minutes",
        packages=("./cmd/pulumi-resource-docker",),
        tags=("osusergo", "grpcnotrace", "no_compose"),
    ),
    # Two pieces of one Go module, because Pulumi looks for each plugin in a folder of its own.
    f"home/plugins/resource-command-v{COMMAND_PLUGIN}": Piece(
        source=RECIPE / "plugins",
        title=f"the command plugin {COMMAND_PLUGIN}",
        duration="1-2 minutes",
        packages=("./cmd/pulumi-resource-command",),
        tags=("osusergo", "grpcnotrace"),
    ),
    f"home/plugins/resource-cloudflare-v{CLOUDFLARE_PLUGIN}": Piece(
        source=RECIPE / "plugins",
        title=f"the cloudflare plugin {CLOUDFLARE_PLUGIN}",
        duration="seconds",
        packages=("./cmd/pulumi-resource-cloudflare",),
        tags=("osusergo", "grpcnotrace"),
    ),
}
"""Each by where its files lie in the engine's folder."""


@dataclass(frozen=True)
class Engine:
    """A Pulumi that is ready to run."""

    pulumi: Path
    """The command line's executable."""
    environment: dict[str, str]
    """What to set on top of the caller's environment: the plugins are found, and nothing is downloaded."""


def ensure(cache: Path, log: Path, report: Reporter) -> Engine:
    """The engine of this recipe out of `<cache>/engine`, built there first if need be.

    Only one process builds at a time; another one waits for it and takes the result.

    Raises:
        BuildError: a piece can't be built.
    """
    shelf = cache / "engine"
    keys = [piece.key() for piece in PIECES.values()]
    whole = shelf / hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    if not whole.is_dir():
        with gomodules.exclusively(shelf, report):
            if not whole.is_dir():
                built = [(place, gomodules.build(piece, shelf, log, report)) for place, piece in PIECES.items()]
                _lay_out(built, whole)
    return Engine(
        pulumi=whole / "bin" / "pulumi",
        environment={
            "PULUMI_HOME": str(whole / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        },
    )


def _lay_out(built: Iterable[tuple[str, Path]], whole: Path) -> None:
    """Link the pieces' files to their places: the same bytes, on the disk once."""
    with gomodules.finished_as(whole) as folder:
        for place, files in built:
            (folder / place).mkdir(parents=True)
            for file in files.iterdir():
                os.link(file, folder / place / file.name)


def main() -> int:
    try:
        engine = ensure(paths.cache(), paths.cache() / "engine.log", print)
    except BuildError as error:
        print(f"{error}\nThe whole log: {error.log}", file=sys.stderr)
        return 1
    print(f"pulumi: {engine.pulumi}")
    for name, value in engine.environment.items():
        print(f"{name}={value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
