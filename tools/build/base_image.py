"""The image under all images that are built here: Debian trixie, pulled, else bootstrapped from Debian's packages."""

import contextlib
import hashlib
import shutil
from pathlib import Path

import docker

from tools.console.steps import Report, StepFailed
from tools.machine import debian, process
from tools.machine.registry import Registry
from tools.paths import cache

SUITE = "trixie"
UPSTREAM = f"debian:{SUITE}-slim"
# What the upstream "slim" image leaves out as well.
_LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def tag(architecture: str) -> str:
    """The base's name on the engine, however it got there."""
    recipe = repr((UPSTREAM, _LEFT_OUT, architecture)).encode()
    return f"vps/base:{hashlib.sha256(recipe).hexdigest()[:12]}"


def ensure(client: docker.DockerClient, registry: Registry, architecture: str, report: Report) -> str:
    """Make sure that the base is on the engine. Returns its name there.

    Raises:
        StepFailed: no registry answers, and this machine can't bootstrap a Debian.
    """
    name = tag(architecture)
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.images.get(name)
        return name
    repository, _, version = name.partition(":")
    if registry.pull(UPSTREAM) is None:
        client.images.get(UPSTREAM).tag(repository, version)
    else:
        archive = _bootstrap(architecture, registry, report)
        report.say(f"importing {archive.name}")
        client.api.import_image_from_file(str(archive), repository, version)
    return name


def _bootstrap(architecture: str, registry: Registry, report: Report) -> Path:
    archive = cache() / "base" / f"{tag(architecture).replace('/', '-').replace(':', '-')}.tar"
    if archive.exists():
        return archive
    if not shutil.which("mmdebstrap"):
        if not debian.may_install():
            raise StepFailed(
                f"The base image {UPSTREAM} can't be pulled ({registry.refusal}), and mmdebstrap, which could make it "
                "from Debian's packages, is not installed.",
                "Give the engine access to a container registry, or install mmdebstrap, then run this again.",
            )
        debian.install(["mmdebstrap", "debian-archive-keyring"], report)
    archive.parent.mkdir(parents=True, exist_ok=True)
    partial = archive.with_name(f"{archive.name}.partial")
    options = [f"--dpkgopt=path-exclude={pattern}" for pattern in _LEFT_OUT]
    argv = ["mmdebstrap", "--variant=minbase", "--format=tar", f"--architectures={architecture}", *options]
    report.say(f"bootstrapping Debian {SUITE} from its packages")
    try:
        process.run([*argv, SUITE, str(partial)], report)
    except process.CommandFailed as error:
        raise StepFailed(
            f"Debian {SUITE} could not be bootstrapped.",
            "See to what mmdebstrap says (most often the network or a full disk), then run this again.",
            report.log,
        ) from error
    partial.rename(archive)
    return archive
