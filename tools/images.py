"""The images of the platform: ours are built here, the others pulled, or built from distribution packages.

An image that is built is named `vps/<name>:<hash of its recipe>`: the same recipe is never built twice, and a change
of anything that goes into it is another image.
"""

import hashlib
import io
import tarfile
import tempfile
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import docker

from infra.settings import IMAGES_OF_OURS, UPSTREAM_IMAGES
from tools import base_image, wheels
from tools.docker_engine import DockerEngine
from tools.paths import ROOT
from tools.registry import Registry
from tools.steps import Report, StepFailed

FOLDER = ROOT / "images"
_SANDBOX = "sandbox-"
# What a Dockerfile copies from the checkout, beside the files of its own folder and `wheels/`.
TREES: Mapping[str, tuple[str, ...]] = {
    "app": ("app",),
    **{name: ("app/guest",) for name in IMAGES_OF_OURS if name.startswith(_SANDBOX)},
}
# Builds wait for downloads more than for the processor, so two at once help on two cores.
_AT_ONCE = 2
_PLAIN_FILE, _PROGRAM = 0o644, 0o755


@dataclass(frozen=True)
class ImageSet:
    """Each image's reference on the engine, and for each that can't be had the reason, in a sentence's second half."""

    references: Mapping[str, str]
    unavailable: Mapping[str, str]

    def sandboxes(self) -> dict[str, str]:
        """Image reference by environment: `python`, `node`, `bash`."""
        return {
            name.removeprefix(_SANDBOX): reference
            for name, reference in self.references.items()
            if name.startswith(_SANDBOX)
        }


@dataclass(frozen=True)
class Recipe:
    """What one built image is made of: a file by its path in the build's context, and the image underneath."""

    name: str
    base: str
    files: Mapping[str, Path]

    @property
    def reference(self) -> str:
        digest = hashlib.sha256(self.base.encode())
        for path, file in sorted(self.files.items()):
            content = file.read_bytes()
            digest.update(f"\0{path}\0{_mode(file):o}\0{len(content)}\0".encode() + content)
        return f"vps/{self.name}:{digest.hexdigest()[:12]}"

    @property
    def requirements(self) -> Path | None:
        """The locked wheels that its Dockerfile finds in `wheels/`."""
        return self.files.get("requirements.txt")


def recipe(name: str, base: str, root: Path = ROOT) -> Recipe:
    """The recipe of `images/<name>` in a checkout."""
    files = dict(_tree(root / "images" / name))
    for tree in TREES.get(name, ()):
        files |= {f"{tree}/{path}": file for path, file in _tree(root / tree)}
    return Recipe(name, base, files)


def ensure(engine: DockerEngine, report: Report) -> ImageSet:
    """Every image of the platform on the engine, or the reason why not.

    Raises:
        StepFailed: an image that can be built could not be.
    """
    client = engine.client()
    architecture = engine.architecture()
    registry = Registry(engine, base_image.UPSTREAM, report)
    base = base_image.ensure(client, registry, architecture, report)
    references: dict[str, str] = {}
    unavailable: dict[str, str] = {}
    builds: list[Recipe] = []
    for name in (*IMAGES_OF_OURS, *UPSTREAM_IMAGES):
        upstream = UPSTREAM_IMAGES.get(name)
        own = recipe(name, base) if (FOLDER / name).is_dir() else None
        there = [it for it in (upstream, own and own.reference) if it and _is_there(client, it)]
        if there:
            references[name] = there[0]
        elif upstream and (refusal := registry.pull(upstream)) is None:
            references[name] = upstream
        elif own:
            references[name] = own.reference
            builds.append(own)
        else:
            unavailable[name] = f"its image {upstream} comes from a container registry only, and {refusal}"
    if builds:
        _build_all(client, builds, architecture, report)
    return ImageSet(references, unavailable)


def remove_superseded(engine: DockerEngine, current: ImageSet) -> list[str]:
    """Remove images of ours that no container uses and whose recipe is not a current one. Returns their names."""
    client = engine.client()
    keep = {*current.references.values(), base_image.tag(engine.architecture())}
    names = {reference.partition(":")[0] for reference in keep}
    containers = client.containers.list(all=True, sparse=True)
    used = {container.attrs[key] for container in containers for key in ("Image", "ImageID")}
    removed = []
    for image in client.images.list():
        for reference in image.tags:
            ours = reference.startswith("vps/") and reference.partition(":")[0] in names
            if ours and reference not in keep and not used & {reference, image.id}:
                client.images.remove(reference)
                removed.append(reference)
    return removed


def _is_there(client: docker.DockerClient, reference: str) -> bool:
    try:
        client.images.get(reference)
    except docker.errors.ImageNotFound:
        return False
    return True


def _build_all(client: docker.DockerClient, builds: list[Recipe], architecture: str, report: Report) -> None:
    folders = {
        own.name: wheels.fetch(own.requirements, architecture, report) if own.requirements else None for own in builds
    }
    interrupted = threading.Event()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [
            pool.submit(_build, client, own, folders[own.name], report.part(own.name), interrupted) for own in builds
        ]
        try:
            for build in running:
                build.result()
        except BaseException:
            interrupted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _build(
    client: docker.DockerClient, own: Recipe, wheel_folder: Path | None, report: Report, interrupted: threading.Event
) -> None:
    files = dict(own.files)
    if wheel_folder:
        files |= {f"wheels/{wheel.name}": wheel for wheel in wheel_folder.iterdir()}
    with tempfile.TemporaryFile() as context:
        _write_context(files, context)
        # The classic builder: it is in every engine, and needs neither the docker CLI nor its buildx plugin.
        events: Any = client.api.build(
            fileobj=context,
            custom_context=True,
            tag=own.reference,
            buildargs={"BASE": own.base},
            rm=True,
            forcerm=True,
            decode=True,
        )
        for event in events:
            if interrupted.is_set():
                return
            report.write(event.get("stream", ""))
            if problem := event.get("error"):
                report.write(f"{problem}\n")
                raise StepFailed(
                    f"The image {own.name} could not be built: {problem}",
                    f"See to the cause in the log or in images/{own.name}/, then run this again.",
                    report.log,
                )


def _write_context(files: Mapping[str, Path], sink: IO[bytes]) -> None:
    """A build's context as a tar file, the same for everyone whatever the checkout's owner and umask are."""
    with tarfile.open(fileobj=sink, mode="w") as archive:
        for path, file in sorted(files.items()):
            content = file.read_bytes()
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = len(content), _mode(file)
            archive.addfile(entry, io.BytesIO(content))
    sink.seek(0)


def _mode(file: Path) -> int:
    return _PROGRAM if file.stat().st_mode & 0o100 else _PLAIN_FILE


def _tree(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder).as_posix(), file
