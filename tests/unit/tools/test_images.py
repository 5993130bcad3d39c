"""How the images of the platform are named, and which are pulled, built, compiled for or left out."""

import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import docker
import pytest

from app.environments import ENVIRONMENTS
from infra.images import IMAGES_OF_OURS
from offline import gomodules, programs
from offline.gomodules import BuildCache, BuildError, GoBuild
from tools.build import base_image, images, npm, wheels
from tools.build.images import ImageSet, recipe
from tools.console.steps import Report


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for path in ("images/app/Dockerfile", "app/main.py", "app/__pycache__/main.pyc"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return tmp_path


def test_the_same_recipe_has_the_same_name(checkout: Path) -> None:
    assert recipe("app", "base:1", root=checkout).reference == recipe("app", "base:1", root=checkout).reference


@pytest.mark.parametrize("path", ["images/app/Dockerfile", "app/main.py", "app/new.py"])
def test_any_change_of_a_file_changes_the_name(checkout: Path, path: str) -> None:
    before = recipe("app", "base:1", root=checkout).reference
    (checkout / path).write_text("changed")
    assert recipe("app", "base:1", root=checkout).reference != before


def test_another_base_changes_the_name(checkout: Path) -> None:
    assert recipe("app", "base:1", root=checkout).reference != recipe("app", "base:2", root=checkout).reference


def test_making_a_file_executable_changes_the_name(checkout: Path) -> None:
    before = recipe("app", "base:1", root=checkout).reference
    (checkout / "app/main.py").chmod(0o755)
    assert recipe("app", "base:1", root=checkout).reference != before


def test_bytecode_is_not_part_of_an_image(checkout: Path) -> None:
    assert set(recipe("app", "base:1", root=checkout).files) == {"Dockerfile", "app/main.py"}


def test_a_context_is_readable_by_any_user_whatever_the_umask(checkout: Path, tmp_path: Path) -> None:
    for file in recipe("app", "base:1", root=checkout).files.values():
        file.chmod(0o600)
    with (tmp_path / "context.tar").open("w+b") as sink:
        own = recipe("app", "base:1", root=checkout)
        images._write_context({"app/main.py": own.files["app/main.py"]}, own.dockerfile, sink)
        with tarfile.open(fileobj=sink) as context:
            assert {(entry.name, entry.mode, entry.uid) for entry in context} == {
                ("Dockerfile", 0o644, 0),
                ("app/main.py", 0o644, 0),
            }


class FakeEngine:
    """A fake Docker with these images. Its registry answers if `registry` is set. Its builds succeed."""

    def __init__(self, *present: str, registry: bool) -> None:
        self.present = {*present}
        self.registry = registry
        self.asked = 0
        self.built: list[str] = []
        self.images = self.api = self

    def client(self, timeout_seconds: float = 60) -> "FakeEngine":
        return self

    def architecture(self) -> str:
        return "amd64"

    def get(self, reference: str) -> None:
        if reference not in self.present:
            raise docker.errors.ImageNotFound(reference)

    def inspect_distribution(self, reference: str) -> None:
        self.asked += 1
        if not self.registry:
            raise docker.errors.APIError("no such host")

    def pull(self, repository: str, tag: str, **_: object) -> list[dict[str, str]]:
        self.present.add(f"{repository}:{tag}")
        return [{"status": "done"}]

    def build(self, *, tag: str, **_: object) -> list[dict[str, str]]:
        self.built.append(tag)
        return [{"stream": "Successfully built\n"}]


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """The names of the programs that were compiled. The compilation is a stand-in without Go."""
    done: list[str] = []

    def compile_program(build: GoBuild, folder: Path, *_: object) -> None:
        (folder / build.source.name).write_text("program")
        done.append(build.source.name)

    monkeypatch.setattr(gomodules, "_compile", compile_program)
    monkeypatch.setattr(BuildCache, "check", lambda *_: None)
    monkeypatch.setattr(images, "cache", lambda: tmp_path)
    return done


@pytest.fixture
def _no_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "packages"
    folder.mkdir()
    for kind in (npm, wheels):
        monkeypatch.setattr(kind, "fetch", lambda *_: folder)


def ensure(engine: Any, report: Report, *running: str) -> ImageSet:
    return images.ensure(engine, ENVIRONMENTS, report, running.__contains__)


@pytest.mark.usefixtures("_no_packages", "compiled")
def test_without_a_registry_what_has_a_recipe_is_built_and_the_rest_has_a_reason(report: Report) -> None:
    engine = FakeEngine(base_image.tag("amd64"), registry=False)
    found = ensure(engine, report)
    assert {*IMAGES_OF_OURS, "traefik", "prometheus", "alertmanager", "node-exporter"} < set(found.references)
    assert sorted(engine.built) == sorted(found.references.values())
    assert {"grafana", "portainer"} < set(found.unavailable)
    assert "no container registry answers" in found.unavailable["grafana"]
    assert engine.asked == 1
    assert "openbao" not in found.unavailable
    assert "openbao" in ensure(engine, report, "openbao").unavailable


@pytest.mark.usefixtures("_no_packages")
def test_with_a_registry_only_our_own_images_are_built(report: Report) -> None:
    engine = FakeEngine(base_image.tag("amd64"), registry=True)
    found = ensure(engine, report)
    assert not found.unavailable
    environments = [environment.image for environment in ENVIRONMENTS.values()]
    assert {tag.partition(":")[0] for tag in engine.built} == {
        f"vps/{it}" for it in ("app-base", *IMAGES_OF_OURS, *environments)
    }


@pytest.mark.usefixtures("_no_packages")
def test_only_the_images_of_these_environments_are_built(report: Report) -> None:
    engine: Any = FakeEngine(base_image.tag("amd64"), registry=True)
    found = images.ensure(engine, ["bash", "sqlite"], report)
    built = [tag.partition(":")[0] for tag in engine.built]
    assert set(built[:-4]) == {"vps/app-base", "vps/sandbox-bash", "vps/sandbox-sqlite"}
    assert built[-4] == "vps/app"
    assert set(built[-3:]) == {"vps/packages", "vps/backup", "vps/executor"}, "they are made of others"
    assert list(found.sandboxes()) == ["bash", "sqlite"]


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A checkout with an image for the app, the executor and two environments."""
    for name in ("app-base", *IMAGES_OF_OURS, "sandbox-bash", "sandbox-sqlite"):
        (tmp_path / "images" / name).mkdir(parents=True)
        (tmp_path / "images" / name / "Dockerfile").write_text(f"# {name}\n# COPY ROOTS\nCOPY {name} /\n")
    (tmp_path / "app").mkdir()
    return tmp_path


def executors(root: Path, *environments: str) -> images.Recipe:
    *_, executor = images.recipes_of_ours("base:1", environments, root)
    return executor


def test_the_executor_is_made_of_the_app_and_of_each_environment(parts: Path) -> None:
    common, app, bash, sqlite, packages, backup, executor = images.recipes_of_ours("base:1", ["bash", "sqlite"], parts)
    assert app.images == {"BASE": common.reference}
    assert executor.images == packages.images == backup.images == {"BASE": common.reference, "APP": app.reference}
    assert executor.dockerfile.decode() == (
        "# executor\n"
        f"COPY --from={bash.reference} / /environments/bash\n"
        f"COPY --from={sqlite.reference} / /environments/sqlite\n"
        "COPY executor /\n"
    )
    assert all(executor.needs({part.reference}) for part in (common, app, bash, sqlite))
    assert not executor.needs({executor.reference})


def test_the_executors_own_dockerfile_copies_each_environment() -> None:
    *own, executor = images.recipes_of_ours("base:1", ENVIRONMENTS)
    copied = [
        f"COPY --from={it.reference} / /environments/{name}" for it, name in zip(own[2:-2], ENVIRONMENTS, strict=True)
    ]
    assert [line for line in executor.dockerfile.decode().splitlines() if "/environments/" in line][1:] == copied


@pytest.mark.parametrize("part", ["app-base", "app", "executor", "sandbox-bash"])
def test_a_change_of_a_part_changes_the_executors_name(parts: Path, part: str) -> None:
    before = executors(parts, "bash").reference
    (parts / "images" / part / "Dockerfile").write_text("changed")
    assert executors(parts, "bash").reference != before


def test_the_executors_name_depends_on_its_environments_alone(parts: Path) -> None:
    before = executors(parts, "bash").reference
    (parts / "images/sandbox-sqlite/Dockerfile").write_text("changed")
    assert executors(parts, "bash").reference == before
    assert executors(parts, "bash", "sqlite").reference != before


@pytest.mark.usefixtures("_no_packages")
def test_images_on_docker_are_neither_built_nor_pulled(report: Report) -> None:
    engine = FakeEngine(base_image.tag("amd64"), registry=True)
    engine.present |= set(ensure(engine, report).references.values())
    engine.built.clear()
    engine.asked = 0
    ensure(engine, report)
    assert (engine.built, engine.asked) == ([], 0)


@pytest.mark.usefixtures("_no_packages")
def test_programs_are_compiled_only_by_complete(compiled: list[str], report: Report) -> None:
    engine: Any = FakeEngine(base_image.tag("amd64"), registry=False)
    first = images.ensure(engine, ENVIRONMENTS, report)
    waiting = {own.name for own, _ in first.uncompiled}
    assert {"loki", "jaeger"} <= waiting <= set(first.unavailable)
    assert "compiled first, which `make up` does (8-12 minutes, once for a machine)" in first.unavailable["loki"]
    assert "to be compiled: loki" in first.summary()
    assert compiled == []
    engine.built.clear()
    whole = images.complete(engine, first, report)
    assert set(compiled) == waiting
    assert set(whole.references) - set(first.references) == waiting
    assert not waiting & set(whole.unavailable)
    assert whole.uncompiled == ()
    assert sorted(engine.built) == sorted(whole.references[name] for name in waiting)


@pytest.mark.usefixtures("_no_packages")
def test_a_program_that_was_compiled_before_is_used_at_once(compiled: list[str], report: Report) -> None:
    engine: Any = FakeEngine(base_image.tag("amd64"), registry=False)
    images.complete(engine, images.ensure(engine, ENVIRONMENTS, report), report)
    compiled.clear()
    again = images.ensure(engine, ENVIRONMENTS, report)
    assert {"loki", "jaeger"} < set(again.references)
    assert (compiled, again.uncompiled) == ([], ())


@pytest.mark.usefixtures("_no_packages", "compiled")
def test_without_go_an_image_has_a_reason_and_nothing_is_left_to_compile(
    monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    def check(cache: BuildCache, build: GoBuild, log: Path) -> None:
        raise BuildError("Go is needed.", log)

    monkeypatch.setattr(BuildCache, "check", check)
    found = ensure(FakeEngine(base_image.tag("amd64"), registry=False), report)
    assert found.uncompiled == ()
    assert found.unavailable["loki"] == (
        "no container registry answers, and its program can't be compiled here: Go is needed."
    )


@pytest.mark.usefixtures("_no_packages")
def test_a_program_that_does_not_compile_does_not_affect_the_others(
    compiled: list[str], monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    engine: Any = FakeEngine(base_image.tag("amd64"), registry=False)
    first = images.ensure(engine, ENVIRONMENTS, report)
    compile_program = gomodules._compile

    def refuse_loki(build: GoBuild, folder: Path, go: Any, report: Any) -> None:
        if build.source.name == "loki":
            raise BuildError("undefined: x", Path("build.log"))
        compile_program(build, folder, go, report)

    monkeypatch.setattr(gomodules, "_compile", refuse_loki)
    whole = images.complete(engine, first, report)
    assert whole.unavailable["loki"] == "its program could not be compiled: undefined: x"
    assert "jaeger" in whole.references


@pytest.mark.usefixtures("_no_packages", "compiled")
def test_nothing_is_compiled_for_a_service_that_is_off(report: Report) -> None:
    first = ensure(FakeEngine(base_image.tag("amd64"), registry=False), report)
    left = first.only(lambda name: name != "loki")
    assert {own.name for own, _ in first.uncompiled} - {own.name for own, _ in left.uncompiled} == {"loki"}
    assert "loki" not in left.unavailable
    assert left.references == first.references


def test_an_images_name_depends_on_its_programs_recipe(checkout: Path) -> None:
    loki = programs.program("loki", "amd64")
    assert loki
    other = replace(loki, variables=("main.Version=other",))
    names = [recipe("app", "base:1", program, checkout).reference for program in (None, loki, other)]
    assert len(set(names)) == 3
    assert recipe("app", "base:1", replace(loki, title="another"), checkout).reference == names[1]


def test_a_program_is_compiled_for_the_containers_and_not_for_this_machine() -> None:
    on_arm, on_amd = (programs.program("jaeger", architecture) for architecture in ("arm64", "amd64"))
    assert on_arm
    assert on_amd
    assert on_arm.target() == {"GOOS": "linux", "GOARCH": "arm64"}
    assert on_arm.key() != on_amd.key()


def test_images_of_sandboxes_by_environment() -> None:
    found = ImageSet({"app": "a:1", "sandbox-python": "p:1", "sandbox-bash": "b:1"}, {})
    assert found.sandboxes() == {"python": "p:1", "bash": "b:1"}
