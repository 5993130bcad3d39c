"""Whatever lists environments or their images agrees with app/environments.py."""

import re

import yaml

from app.environments import ENVIRONMENTS
from infra.images import IMAGES_OF_OURS
from tools.paths import ROOT

IMAGES = ROOT / "images"


def test_each_environment_has_a_folder_and_each_folder_an_environment() -> None:
    assert {folder.name for folder in IMAGES.glob("sandbox-*")} == {it.image for it in ENVIRONMENTS.values()}


def test_no_two_environments_share_a_name() -> None:
    names = [name for it in ENVIRONMENTS.values() for name in (it.name, *it.aliases)]
    assert sorted(names) == sorted(set(names))


def test_the_production_config_names_our_images() -> None:
    config = yaml.safe_load((ROOT / "Pulumi.prod.yaml").read_text())["config"]
    assert set(config["vps:platform"]["images"]) == set(IMAGES_OF_OURS)


def test_each_image_of_an_environment_has_no_set_id_bit_and_nothing_of_the_platform() -> None:
    for environment in ENVIRONMENTS.values():
        dockerfile = (IMAGES / environment.image / "Dockerfile").read_text()
        assert re.search(r"find / -xdev -type f -perm /6000 -exec chmod a-s {} \+", dockerfile), environment.name
        assert "COPY app" not in dockerfile
