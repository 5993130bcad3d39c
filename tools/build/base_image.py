"""The base of all images that are built here: Debian, pulled, else made from Debian's packages."""

import contextlib
import hashlib
import shutil
from pathlib import Path

import docker

from offline.base_image import LEFT_OUT, PACKAGES, PROGRAM, SUITE, bootstrap
from tools.console.steps import Report, StepFailed
from tools.machine import debian, process
from tools.machine.registry import Registry
from tools.paths import cache

UPSTREAM = f"debian:{SUITE}-slim"


def tag(architecture: str) -> str:
    """The base's name in Docker, wherever it came from."""
    recipe = repr((UPSTREAM, LEFT_OUT, architecture)).encode()
    return f"vps/base:{hashlib.sha256(recipe).hexdigest()[:12]}"


def ensure(client: docker.DockerClient, registry: Registry, architecture: str, report: Report) -> str:
    """Make sure that Docker has the base. Returns its name there.

    Raises:
        StepFailed: no registry answers, and this machine can't make a Debian from its packages.
    """
    name = tag(architecture)
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.get(name)
        return name
    repository, _, version = name.partition(":")
    if registry.pull(UPSTREAM) is None:
        client.images.get(UPSTREAM).tag(repository, version)
    else:
        archive = _bootstrapped(architecture, registry, report)
        report.say(f"importing {archive.name}")
        client.api.import_image_from_file(str(archive), repository, version)
    return name


def _bootstrapped(architecture: str, registry: Registry, report: Report) -> Path:
    archive = cache() / "base" / f"{tag(architecture).replace('/', '-').replace(':', '-')}.tar"
    if archive.exists():
        return archive
    if not shutil.which(PROGRAM):
        if not debian.may_install():
            raise StepFailed(
                f"The base image {UPSTREAM} can't be pulled ({registry.refusal}), and {PROGRAM}, which could make it "
                "from Debian's packages, is not installed.",
                f"Give Docker access to a container registry, or install {PROGRAM}, then run this again.",
            )
        debian.install(PACKAGES, report)
    report.say(f"bootstrapping Debian {SUITE} from its packages")
    fix = f"Fix what {PROGRAM} reports (most often the network or a full disk), then run this again."
    with process.explained(f"Debian {SUITE} could not be bootstrapped.", fix, report):
        bootstrap(architecture, archive, lambda argv: process.run(argv, report))
    return archive
