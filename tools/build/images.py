"""The platform's images: our own are built, the others are pulled, or built from distribution packages.

A built image is named `vps/<name>:<hash of its recipe>`, so that a recipe is built once, and a change of anything in it
gives another name. `ensure` does not wait for programs that take minutes to compile: `complete` compiles them after the
core of the platform runs.
"""

import hashlib
import io
import tarfile
import tempfile
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import docker

from app.environments import ENVIRONMENTS
from infra.images import IMAGES_OF_OURS, UPSTREAM_IMAGES
from offline import programs
from offline.gomodules import BuildCache, BuildError, GoBuild
from tools.build import base_image, npm, wheels
from tools.console.steps import Report, StepFailed
from tools.machine.docker_engine import DockerEngine
from tools.machine.registry import Registry
from tools.paths import ROOT, cache

FOLDER = ROOT / "images"
ROOTS = "/environments"
"""The folder of the executor's image that holds each environment's root file system by its name."""
# Builds wait for downloads more than for the CPU: on two cores, two at once are faster than one.
_AT_ONCE = 2
_PLAIN_FILE, _PROGRAM = 0o644, 0o755
_ON_REQUEST = ("openbao",)
"""Of services that are off by default, and come from a registry."""
_DOCKERFILE = "Dockerfile"
_COMMON = "app-base"
_COPY_ROOTS = b"# COPY ROOTS\n"


@dataclass(frozen=True)
class Recipe:
    """The parts of a built image: files by their paths in the build context, a compiled program, and other images.

    `images` are the values of the Dockerfile's arguments, which name its stages: `BASE`, and other images of ours. The
    whole content of each of `roots` is copied into the folder that is its key.
    """

    name: str
    images: Mapping[str, str]
    files: Mapping[str, Path]
    program: GoBuild | None = None
    roots: Mapping[str, str] = field(default_factory=dict)

    @property
    def reference(self) -> str:
        made_of = [f"{name}={image}" for name, image in sorted({**self.images, **self.roots}.items())]
        digest = hashlib.sha256("\0".join(made_of).encode())
        for path, file in sorted(self.files.items()):
            content = file.read_bytes()
            digest.update(f"\0{path}\0{_mode(file):o}\0{len(content)}\0".encode() + content)
        if self.program:
            # Its recipe and not its bytes, so that the name is known before anything is compiled.
            digest.update(f"\0program {self.program.key()}".encode())
        return f"vps/{self.name}:{digest.hexdigest()[:12]}"

    @property
    def dockerfile(self) -> bytes:
        """The Dockerfile, with a COPY for each of `roots` in place of the line `# COPY ROOTS`.

        A Dockerfile has no loop, and Docker's classic builder takes no argument for the image of a COPY.
        """
        copies = "".join(f"COPY --from={image} / {folder}\n" for folder, image in self.roots.items())
        return self.files[_DOCKERFILE].read_bytes().replace(_COPY_ROOTS, copies.encode())

    def needs(self, others: Collection[str]) -> bool:
        """Whether one of these images, by their references, is a part of it."""
        return not {*self.images.values(), *self.roots.values()}.isdisjoint(others)

    def fetch(self, architecture: str, report: Report) -> dict[str, Path]:
        """The packages that its lock files name, downloaded: files by their paths in the build context.

        Raises:
            StepFailed: one of them could not be downloaded.
        """
        folders: dict[str, Path] = {}
        if requirements := self.files.get("requirements.txt"):
            folders["wheels"] = wheels.fetch(requirements, architecture, report)
        if lock := self.files.get(npm.LOCK):
            folders["packages"] = npm.fetch(lock, architecture, report)
        return {f"{name}/{file.name}": file for name, folder in folders.items() for file in folder.iterdir()}


@dataclass(frozen=True)
class ImageSet:
    """The references of the images in Docker, and why the others are not available, as the second half of a sentence.

    `uncompiled` are those of the latter that can be had once their program is compiled.
    """

    references: Mapping[str, str]
    unavailable: Mapping[str, str]
    uncompiled: tuple[tuple[Recipe, GoBuild], ...] = ()

    def summary(self) -> str:
        """How many images are ready, and the names of the others."""
        waiting = [own.name for own, _ in self.uncompiled]
        missing = [name for name in self.unavailable if name not in waiting]
        others = {"can't be had here": missing, "to be compiled": waiting}
        lists = [f"; {why}: {', '.join(names)}" for why, names in others.items() if names]
        return f"{len(self.references)} ready{''.join(lists)}"

    def only(self, wanted: Callable[[str], bool]) -> "ImageSet":
        """The set without images that would be compiled for services that are off; `wanted` tells by name."""
        waiting = tuple((own, program) for own, program in self.uncompiled if wanted(own.name))
        dropped = {own.name for own, _ in self.uncompiled} - {own.name for own, _ in waiting}
        unavailable = {name: reason for name, reason in self.unavailable.items() if name not in dropped}
        return ImageSet(self.references, unavailable, waiting)

    def sandboxes(self) -> dict[str, str]:
        """Image reference by environment."""
        return {
            name: self.references[environment.image]
            for name, environment in ENVIRONMENTS.items()
            if environment.image in self.references
        }


def compiled() -> BuildCache:
    """The cache of programs that this machine has compiled for images and tests."""
    return BuildCache(cache() / "programs")


def recipe(name: str, base: str, program: GoBuild | None = None, root: Path = ROOT) -> Recipe:
    """The recipe of `images/<name>` in the checkout `root`. That of `app` has the folder `app` too."""
    files = dict(_tree(root / "images" / name))
    if name == "app":
        files |= {f"app/{path}": file for path, file in _tree(root / "app")}
    return Recipe(name, {"BASE": base}, files, program)


def recipes_of_ours(base: str, environments: Iterable[str], root: Path = ROOT) -> list[Recipe]:
    """The recipes of our images: what they share, and these environments, which the executor holds, included."""
    common = recipe(_COMMON, base, root=root)
    app, executor, packages, backup = (recipe(name, common.reference, root=root) for name in IMAGES_OF_OURS)
    parts = {**app.images, "APP": app.reference}
    own = {name: recipe(ENVIRONMENTS[name].image, base, root=root) for name in environments}
    roots = {f"{ROOTS}/{name}": environment.reference for name, environment in own.items()}
    return [
        common,
        app,
        *own.values(),
        replace(packages, images=parts),
        replace(backup, images=parts),
        replace(executor, images=parts, roots=roots),
    ]


def ensure(
    engine: DockerEngine, environments: Iterable[str], report: Report, runs: Callable[[str], bool] = lambda _: False
) -> ImageSet:
    """Every image of the platform with these environments on the engine, or the reason why not.

    Of services that are off by default, it has those that run, by name.

    Raises:
        StepFailed: an image that can be built could not be.
    """
    client = engine.client()
    architecture = engine.architecture()
    registry = Registry(engine, base_image.UPSTREAM, report)
    base = base_image.ensure(client, registry, architecture, report)
    unavailable: dict[str, str] = {}
    ours = recipes_of_ours(base, environments)
    references = {own.name: own.reference for own in ours}
    builds = [own for own in ours if not _is_there(client, own.reference)]
    uncompiled: list[tuple[Recipe, GoBuild]] = []
    for name, upstream in UPSTREAM_IMAGES.items():
        if name in _ON_REQUEST and not runs(name):
            continue
        program = programs.program(name, architecture)
        own = recipe(name, base, program) if (FOLDER / name).is_dir() else None
        there = [it for it in (upstream, own and own.reference) if it and _is_there(client, it)]
        if there:
            references[name] = there[0]
        elif (refusal := registry.pull(upstream)) is None:
            references[name] = upstream
        elif own and program and not compiled().has(program):
            try:
                compiled().check(program, report.log)
            except BuildError as error:
                unavailable[name] = f"{refusal}, and its program can't be compiled here: {error}"
            else:
                once = f"{program.duration}, once for a machine"
                unavailable[name] = f"its program is to be compiled first, which `make up` does ({once})"
                uncompiled.append((own, program))
        elif own:
            references[name] = own.reference
            builds.append(own)
        else:
            unavailable[name] = f"its image {upstream} comes from a container registry only, and {refusal}"
    if builds:
        _build_all(client, builds, architecture, report)
    return ImageSet(references, unavailable, tuple(uncompiled))


def complete(engine: DockerEngine, images: ImageSet, report: Report) -> ImageSet:
    """The same set with all programs compiled and their images built. If one does not compile, its reason says so.

    Raises:
        StepFailed: an image that can be built could not be.
    """
    unavailable = dict(images.unavailable)
    builds: list[Recipe] = []
    for own, program in images.uncompiled:
        try:
            compiled().ensure(program, report.log, report.say)
        except BuildError as error:
            unavailable[own.name] = f"its program could not be compiled: {error}"
        else:
            del unavailable[own.name]
            builds.append(own)
    if builds:
        _build_all(engine.client(), builds, engine.architecture(), report)
    return ImageSet({**images.references, **{own.name: own.reference for own in builds}}, unavailable)


def remove_superseded(engine: DockerEngine, current: ImageSet) -> list[str]:
    """Remove built images of other recipes that no container uses. Returns their names."""
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
    """Build images, those that are made of others after these."""
    pending = {own.reference for own in builds}
    last = [own for own in builds if own.needs(pending)]
    _build_at_once(client, [own for own in builds if own not in last], architecture, report)
    if last:
        _build_all(client, last, architecture, report)


def _build_at_once(client: docker.DockerClient, builds: list[Recipe], architecture: str, report: Report) -> None:
    fetched = {own.name: own.fetch(architecture, report) for own in builds}
    interrupted = threading.Event()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        running = [
            pool.submit(_build, client, own, fetched[own.name], report.part(own.name), interrupted) for own in builds
        ]
        try:
            for build in running:
                build.result()
        except BaseException:
            interrupted.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _build(
    client: docker.DockerClient,
    own: Recipe,
    fetched: Mapping[str, Path],
    report: Report,
    interrupted: threading.Event,
) -> None:
    files = {path: file for path, file in own.files.items() if path != _DOCKERFILE} | dict(fetched)
    if own.program:
        files |= {f"program/{file.name}": file for file in compiled().folder(own.program).iterdir()}
    with tempfile.TemporaryFile() as context:
        _write_context(files, own.dockerfile, context)
        # The classic builder: every Docker has it, and it needs neither the docker CLI nor its buildx plugin.
        events: Any = client.api.build(
            fileobj=context,
            custom_context=True,
            tag=own.reference,
            buildargs=dict(own.images),
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
                    f"Fix the cause in images/{own.name}/ or what the log reports, then run this again.",
                    report.log,
                )


def _write_context(files: Mapping[str, Path], dockerfile: bytes, sink: IO[bytes]) -> None:
    """Write a build context as a tar file that does not depend on the checkout's owner and umask."""
    with tarfile.open(fileobj=sink, mode="w") as archive:
        entry = tarfile.TarInfo(_DOCKERFILE)
        entry.size, entry.mode = len(dockerfile), _PLAIN_FILE
        archive.addfile(entry, io.BytesIO(dockerfile))
        for path, file in sorted(files.items()):
            entry = tarfile.TarInfo(path)
            entry.size, entry.mode = file.stat().st_size, _mode(file)
            with file.open("rb") as content:
                archive.addfile(entry, content)
    sink.seek(0)


def _mode(file: Path) -> int:
    return _PROGRAM if file.stat().st_mode & 0o100 else _PLAIN_FILE


def _tree(folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and "__pycache__" not in file.parts:
            yield file.relative_to(folder).as_posix(), file
