"""Whatever lists environments or their images agrees with app/environments.toml."""

import json
import re
from dataclasses import replace
from datetime import date

import pytest
import yaml

from app.environments import ENVIRONMENTS, VARIANTS
from app.profile import FLOOR
from infra.images import IMAGES_OF_OURS
from tools.build import ends_of_life, npm
from tools.paths import ROOT

IMAGES = ROOT / "images"


def test_each_environment_has_a_folder_and_each_folder_an_environment() -> None:
    assert {folder.name for folder in IMAGES.glob("sandbox-*")} == {it.image for it in ENVIRONMENTS.values()}


def test_no_two_environments_share_a_name() -> None:
    names = [name for it in (*ENVIRONMENTS.values(), *VARIANTS.values()) for name in (it.name, *it.aliases)]
    assert sorted(names) == sorted(set(names))


def test_the_production_config_names_our_images() -> None:
    config = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    assert set(config["vps:platform"]["images"]) == set(IMAGES_OF_OURS)


def test_each_image_of_an_environment_has_no_set_id_bit_and_nothing_of_the_platform() -> None:
    for environment in ENVIRONMENTS.values():
        dockerfile = (IMAGES / environment.image / "Dockerfile").read_text()
        assert re.search(r"find / -xdev -type f -perm /6000 -exec chmod a-s {} \+", dockerfile), environment.name
        assert "COPY app" not in dockerfile


def test_a_variant_uses_an_environment_and_has_another_main_file() -> None:
    for name, variant in VARIANTS.items():
        home = ENVIRONMENTS[variant.within or ""]
        assert name == variant.name
        assert (variant.image, variant.start, variant.release) == (home.image, home.start, home.release)
        assert variant.main != home.main


def test_the_node_that_is_locked_is_of_the_release_that_is_described() -> None:
    lock = json.loads((IMAGES / "sandbox-node" / npm.LOCK).read_text())["packages"]
    assert {it["version"].partition(".")[0] for path, it in lock.items() if path} == {
        ENVIRONMENTS["node"].release.version
    }


def test_what_python_data_agrees_on_with_its_image() -> None:
    environment, folder = ENVIRONMENTS["python-data"], IMAGES / "sandbox-python-data"
    backend = (folder / "backend_results.py").read_text()
    assert environment.variables["MPLBACKEND"].endswith(".backend_results")
    assert f'_CONFIG = "{environment.variables["MPLCONFIGDIR"]}"' in (folder / "sitecustomize.py").read_text()
    assert f"_MOST = {FLOOR.result_files}\n" in backend
    assert "show-{number}.png" in backend
    assert environment.pictures == "show-*.png"


@pytest.mark.parametrize(
    ("today", "code", "said"),
    [
        (date(2026, 9, 1), 0, "none within half a year\n"),
        (date(2026, 11, 1), 0, "WARNING: end of life of ruby 3.3 on 2027-03-31"),
        (date(2027, 3, 31), 0, "WARNING: end of life of ruby 3.3 on 2027-03-31"),
        (date(2027, 4, 1), 1, "WARNING: end of life of ruby 3.3 on 2027-03-31"),
    ],
)
def test_an_end_of_life_is_told_half_a_year_ahead_and_fails_once_it_has_passed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], today: date, code: int, said: str
) -> None:
    ruby, python = ENVIRONMENTS["ruby"], ENVIRONMENTS["python"]
    ruby = replace(ruby, release=replace(ruby.release, version="3.3", end_of_life=date(2027, 3, 31)))
    python = replace(python, release=replace(python.release, end_of_life=date(2028, 8, 9)))
    monkeypatch.setattr(ends_of_life, "ENVIRONMENTS", {"ruby": ruby, "python": python})
    assert ends_of_life.main(today) == code
    assert capsys.readouterr().out.startswith(said)
