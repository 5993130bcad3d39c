"""The docker plugin, built or official, has the property names of the installed SDK.

The SDK's classes are generated from the official plugin's schema. A name that differs in the plugin that runs would be
refused or, worse, left out in silence.
"""

import inspect
import json
import os
import subprocess
from importlib.metadata import version
from typing import Any

import pulumi
import pulumi_docker
import pytest
from pulumi._types import input_type_py_to_pulumi_names as engine_names  # the SDK's own reading of its classes
from pulumi_docker import _inputs as nested_inputs

from tools import toolchain
from tools.steps import Report

# The one resource that is not bridged from the upstream provider: it builds and pushes images, which `up` never does.
NOT_SERVED = {"Image"}


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("schema")
    found = toolchain.ensure(Report(folder / "log"))
    answer = subprocess.run(
        [found.pulumi, "package", "get-schema", f"docker@{version('pulumi-docker')}"],
        cwd=folder,
        env={**os.environ, **found.environment},
        capture_output=True,
        check=True,
    )
    content: dict[str, Any] = json.loads(answer.stdout)
    return content


def test_it_serves_every_resource_of_the_sdk(schema: dict[str, Any]) -> None:
    served = {token.rpartition(":")[2] for token in schema["resources"]}
    resources = inspect.getmembers(pulumi_docker, _is_resource)
    assert {name for name, _ in resources} - served == NOT_SERVED | {"Provider"}


def test_the_inputs_of_every_resource_are_those_of_the_sdk(schema: dict[str, Any]) -> None:
    resources = {token.rpartition(":")[2]: content["inputProperties"] for token, content in schema["resources"].items()}
    resources["Provider"] = schema["provider"]["inputProperties"]
    compared = {name: set(inputs) for name, inputs in resources.items() if name not in NOT_SERVED}
    assert "Container" in compared
    assert _differences(compared, pulumi_docker) == []


def test_the_nested_inputs_are_those_of_the_sdk(schema: dict[str, Any]) -> None:
    types = {token.rpartition(":")[2]: set(content["properties"]) for token, content in schema["types"].items()}
    compared = {name: properties for name, properties in types.items() if hasattr(nested_inputs, f"{name}Args")}
    assert {"ContainerMount", "ContainerUpload", "ContainerHealthcheck"} <= set(compared)
    assert _differences(compared, nested_inputs) == []


def _is_resource(member: object) -> bool:
    return inspect.isclass(member) and issubclass(member, pulumi.Resource)


def _differences(plugin: dict[str, set[str]], sdk: object) -> list[str]:
    """One line for each name that only one side has."""
    found = []
    for name, properties in sorted(plugin.items()):
        expected = set(engine_names(getattr(sdk, f"{name}Args")).values())
        found += [f"{name}.{each}: in the SDK, not in the plugin" for each in sorted(expected - properties)]
        found += [f"{name}.{each}: in the plugin, not in the SDK" for each in sorted(properties - expected)]
    return found
