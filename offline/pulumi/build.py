"""Pulumi and its plugins, compiled from Go modules and laid out in the folders where Pulumi looks for them."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from offline.gomodules import BuildCache, GoBuild, ModuleFile, Reporter, finished_as, required

RECIPE = Path(__file__).resolve().parent

PULUMI = required(RECIPE / "cli", "github.com/pulumi/pulumi/pkg/v3")
DOCKER_PLUGIN = "5.2.0"
COMMAND_PLUGIN = "1.2.1"
CLOUDFLARE_PLUGIN = "6.23.1"
KUBERNETES_PLUGIN = "4.25.0"

BUILDS = {
    "bin": GoBuild(
        source=RECIPE / "cli",
        title=f"pulumi {PULUMI}",
        duration="3-6 minutes",
        packages=("github.com/pulumi/pulumi/pkg/v3/cmd/pulumi", "./cmd/pulumi-language-python"),
        tags=("osusergo", "grpcnotrace"),
        variables=(f"github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{PULUMI}",),
        files=(ModuleFile("github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),),
    ),
    f"home/plugins/resource-docker-v{DOCKER_PLUGIN}": GoBuild(
        source=RECIPE / "docker",
        title=f"the docker plugin {DOCKER_PLUGIN}",
        duration="3-6 minutes",
        packages=("./cmd/pulumi-resource-docker",),
        tags=("osusergo", "grpcnotrace", "no_compose"),
    ),
    # Two builds of one Go module, because Pulumi looks for each plugin in a folder of its own.
    f"home/plugins/resource-command-v{COMMAND_PLUGIN}": GoBuild(
        source=RECIPE / "plugins",
        title=f"the command plugin {COMMAND_PLUGIN}",
        duration="1-2 minutes",
        packages=("./cmd/pulumi-resource-command",),
        tags=("osusergo", "grpcnotrace"),
    ),
    f"home/plugins/resource-cloudflare-v{CLOUDFLARE_PLUGIN}": GoBuild(
        source=RECIPE / "plugins",
        title=f"the cloudflare plugin {CLOUDFLARE_PLUGIN}",
        duration="seconds",
        packages=("./cmd/pulumi-resource-cloudflare",),
        tags=("osusergo", "grpcnotrace"),
    ),
}
"""By the folder, below Pulumi's own, that its files belong in."""
_PROVIDER = "github.com/pulumi/pulumi-kubernetes/provider/v4"
FOR_CLUSTERS = {
    f"home/plugins/resource-kubernetes-v{KUBERNETES_PLUGIN}": GoBuild(
        source=RECIPE / "kubernetes",
        title=f"the kubernetes plugin {KUBERNETES_PLUGIN}",
        duration="3-6 minutes",
        packages=("./cmd/pulumi-resource-kubernetes",),
        tags=("osusergo", "grpcnotrace"),
        variables=(f"{_PROVIDER}/pkg/version.Version=v{KUBERNETES_PLUGIN}",),
        files=(ModuleFile(_PROVIDER, "cmd/pulumi-resource-kubernetes/schema.json"),),
    ),
}
"""As `BUILDS`, for stacks on a cluster."""


@dataclass(frozen=True)
class Pulumi:
    """A Pulumi that is ready to run."""

    executable: Path
    environment: dict[str, str]
    """To be set on top of the caller's environment, so that the plugins are found and nothing is downloaded."""


def ensure(cache: Path, log: Path, report: Reporter, *, clusters: bool = False) -> Pulumi:
    """Pulumi from `<cache>/engine`, compiled there first if it is not there. With `clusters`, it has the plugin for
    them too.

    Only one process builds at a time; another one waits for it and takes the result.

    Raises:
        BuildError: a part can't be built.
    """
    builds = BuildCache(cache / "engine")
    wanted = {**BUILDS, **FOR_CLUSTERS} if clusters else BUILDS
    keys = [build.key() for build in wanted.values()]
    whole = builds.root / hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]
    if not whole.is_dir():
        with builds.locked(report):
            if not whole.is_dir():
                _lay_out({place: builds.compile(build, log, report) for place, build in wanted.items()}, whole)
    return Pulumi(
        executable=whole / "bin" / "pulumi",
        environment={
            "PULUMI_HOME": str(whole / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        },
    )


def _lay_out(built: Mapping[str, Path], whole: Path) -> None:
    """Link the files to their places: the same bytes, once on the disk."""
    with finished_as(whole) as folder:
        for place, files in built.items():
            (folder / place).mkdir(parents=True)
            for file in files.iterdir():
                os.link(file, folder / place / file.name)
