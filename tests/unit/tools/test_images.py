import tarfile
from pathlib import Path
from typing import Any

import docker
import pytest

from infra.settings import IMAGES_OF_OURS
from tools import base_image, images
from tools.images import ImageSet, recipe
from tools.steps import Report


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    for path in ("images/app/Dockerfile", "app/main.py", "app/__pycache__/main.pyc"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(path)
    return tmp_path


def test_the_same_recipe_has_the_same_name(checkout: Path) -> None:
    assert recipe("app", "base:1", checkout).reference == recipe("app", "base:1", checkout).reference


@pytest.mark.parametrize("path", ["images/app/Dockerfile", "app/main.py", "app/new.py"])
def test_any_change_of_a_file_is_another_image(checkout: Path, path: str) -> None:
    before = recipe("app", "base:1", checkout).reference
    (checkout / path).write_text("changed")
    assert recipe("app", "base:1", checkout).reference != before


def test_another_base_is_another_image(checkout: Path) -> None:
    assert recipe("app", "base:1", checkout).reference != recipe("app", "base:2", checkout).reference


def test_a_program_and_a_file_are_different(checkout: Path) -> None:
    before = recipe("app", "base:1", checkout).reference
    (checkout / "app/main.py").chmod(0o755)
    assert recipe("app", "base:1", checkout).reference != before


def test_byte_code_is_no_part_of_an_image(checkout: Path) -> None:
    assert set(recipe("app", "base:1", checkout).files) == {"Dockerfile", "app/main.py"}


def test_a_context_is_readable_by_any_user_whatever_the_umask(checkout: Path, tmp_path: Path) -> None:
    for file in recipe("app", "base:1", checkout).files.values():
        file.chmod(0o600)
    with (tmp_path / "context.tar").open("w+b") as sink:
        images._write_context(recipe("app", "base:1", checkout).files, sink)
        with tarfile.open(fileobj=sink) as context:
            assert {(entry.name, entry.mode, entry.uid) for entry in context} == {
                ("Dockerfile", 0o644, 0),
                ("app/main.py", 0o644, 0),
            }


class FakeEngine:
    """An engine with images; a registry answers it when `registry` is set. Builds succeed."""

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
def _no_wheels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    monkeypatch.setattr(images.wheels, "fetch", lambda *_: folder)


def ensure(engine: Any, report: Report) -> ImageSet:
    return images.ensure(engine, report)


@pytest.mark.usefixtures("_no_wheels")
def test_without_a_registry_what_has_a_recipe_is_built_and_the_rest_has_a_reason(report: Report) -> None:
    engine = FakeEngine(base_image.tag("amd64"), registry=False)
    found = ensure(engine, report)
    assert set(found.references) == {*IMAGES_OF_OURS, "traefik", "prometheus"}
    assert sorted(engine.built) == sorted(found.references.values())
    assert set(found.unavailable) == {"grafana", "portainer"}
    assert "no container registry answers" in found.unavailable["grafana"]
    assert engine.asked == 1


@pytest.mark.usefixtures("_no_wheels")
def test_with_a_registry_only_our_own_are_built(report: Report) -> None:
    engine = FakeEngine(base_image.tag("amd64"), registry=True)
    found = ensure(engine, report)
    assert not found.unavailable
    assert {tag.partition(":")[0] for tag in engine.built} == {f"vps/{name}" for name in IMAGES_OF_OURS}


@pytest.mark.usefixtures("_no_wheels")
def test_what_is_there_is_neither_built_nor_pulled(report: Report) -> None:
    engine = FakeEngine(base_image.tag("amd64"), registry=True)
    engine.present |= set(ensure(engine, report).references.values())
    engine.built.clear()
    engine.asked = 0
    ensure(engine, report)
    assert (engine.built, engine.asked) == ([], 0)


def test_sandboxes_are_named_by_their_environment() -> None:
    found = ImageSet({"app": "a:1", "sandbox-python": "p:1", "sandbox-bash": "b:1"}, {})
    assert found.sandboxes() == {"python": "p:1", "bash": "b:1"}
