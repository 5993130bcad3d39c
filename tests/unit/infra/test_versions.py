"""What is built where no registry answers is the version that is pulled elsewhere: versions.toml has it once."""

import re
import tomllib
from importlib.metadata import version

import pytest

from infra.cluster import ADAPTER
from infra.optional_services import SERVICES
from infra.settings import VALKEY
from offline import programs
from offline.pulumi import build
from tools.machine import pulumi_toolchain
from tools.paths import ROOT

PROGRAMS = tomllib.loads((ROOT / "versions.toml").read_text())


def pulled(name: str) -> str:
    """The version in a program's image reference, without a leading `v` and without a suffix."""
    found = re.search(r":v?(\d+\.\d+\.\d+)", PROGRAMS[name]["image"])
    assert found
    return found[1]


def built(how: str | None) -> list[str]:
    return [name for name, program in PROGRAMS.items() if program.get("built") == how]


def test_there_is_a_version_of_each_service() -> None:
    # Two are in our own image.
    assert set(PROGRAMS) == {"traefik", VALKEY, ADAPTER, *SERVICES} - {"container-exporter", "status"}


@pytest.mark.parametrize("name", built("go"))
def test_a_program_of_go_modules_is_built_in_the_version_that_is_pulled(name: str) -> None:
    found = programs.program(name, "amd64")
    assert found
    assert found.title.endswith(f" {pulled(name)}")


@pytest.mark.parametrize("name", built("pypi"))
def test_a_program_of_a_wheel_is_the_version_that_is_pulled(name: str) -> None:
    assert (ROOT / "images" / name / "requirements.in").read_text().strip().endswith(f"=={pulled(name)}")


@pytest.mark.parametrize("name", built("debian"))
def test_a_program_of_debian_needs_nothing_else(name: str) -> None:
    dockerfile = (ROOT / "images" / name / "Dockerfile").read_text()
    assert re.search(rf"apt-get install .*\b(prometheus-)?{name}\b", dockerfile)
    assert "COPY" not in dockerfile


@pytest.mark.parametrize("name", built(None))
def test_what_is_only_pulled_has_no_recipe(name: str) -> None:
    assert not (ROOT / "images" / name).exists()


def test_the_pulumi_that_is_built_is_the_oldest_that_is_accepted() -> None:
    assert str(pulumi_toolchain.MINIMUM) == build.PULUMI


def test_plugins_of_pulumi_are_built_in_the_versions_of_their_sdks() -> None:
    assert version("pulumi-docker") == build.DOCKER_PLUGIN
    assert version("pulumi-command") == build.COMMAND_PLUGIN
    assert version("pulumi-cloudflare") == build.CLOUDFLARE_PLUGIN
    assert version("pulumi-kubernetes") == build.KUBERNETES_PLUGIN
