"""The Pulumi plugins, built here or official, have the property names of the installed SDKs.

The SDKs' classes are generated from the official plugins' schemas. A plugin would refuse a name that it does not know
or, worse, ignore it. The Docker plugin is the upstream bridge and has all names. The others are built here with only
what the program needs, so each of their names must be one of the SDK's, of a resource with the same token.
"""

import inspect
import json
import os
import subprocess
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from typing import Any

import pulumi
import pulumi_command.remote
import pulumi_docker
import pytest
from pulumi._types import input_type_py_to_pulumi_names as engine_names  # the SDK's own reading of its classes
from pulumi_docker import _inputs as docker_nested

from tools.console.steps import Report
from tools.machine import pulumi_toolchain

# The only resource that the bridge leaves out: it builds and pushes images, which `up` never does.
NOT_SERVED = {"Image"}
Schemas = Callable[[str], dict[str, Any]]


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Schemas:
    folder = tmp_path_factory.mktemp("schema")
    found = pulumi_toolchain.ensure(Report(folder / "log"))

    def schema(plugin: str) -> dict[str, Any]:
        answer = subprocess.run(
            [found.pulumi, "package", "get-schema", f"{plugin}@{version(f'pulumi-{plugin}')}"],
            cwd=folder,
            env={**os.environ, **found.environment},
            capture_output=True,
            check=True,
        )
        content: dict[str, Any] = json.loads(answer.stdout)
        return content

    return schema


@pytest.fixture(scope="module")
def docker(schemas: Schemas) -> dict[str, Any]:
    return schemas("docker")


def test_docker_has_every_resource_of_the_sdk(docker: dict[str, Any]) -> None:
    served = {token.rpartition(":")[2] for token in docker["resources"]}
    resources = inspect.getmembers(pulumi_docker, _is_resource)
    assert {name for name, _ in resources} - served == NOT_SERVED | {"Provider"}


def test_the_inputs_of_dockers_resources_are_those_of_the_sdk(docker: dict[str, Any]) -> None:
    resources = {token.rpartition(":")[2]: content["inputProperties"] for token, content in docker["resources"].items()}
    resources["Provider"] = docker["provider"]["inputProperties"]
    compared = {name: set(inputs) for name, inputs in resources.items() if name not in NOT_SERVED}
    assert "Container" in compared
    assert _differences(compared, pulumi_docker) == []


def test_dockers_nested_inputs_are_those_of_the_sdk(docker: dict[str, Any]) -> None:
    types = {token.rpartition(":")[2]: set(content["properties"]) for token, content in docker["types"].items()}
    compared = {name: properties for name, properties in types.items() if hasattr(docker_nested, f"{name}Args")}
    assert {"ContainerMount", "ContainerUpload", "ContainerHealthcheck"} <= set(compared)
    assert _differences(compared, docker_nested) == []


@pytest.mark.parametrize("token", ["command:local:Command", "command:remote:Command", "command:remote:CopyToRemote"])
def test_a_resource_of_command_has_names_of_the_sdk(schemas: Schemas, token: str) -> None:
    resource = schemas("command")["resources"][token]
    module, _, name = token.removeprefix("command:").partition(":")
    sdk = import_module(f"pulumi_command.{module}")
    assert getattr(sdk, name).pulumi_type == token
    assert set(resource["inputProperties"]) <= set(engine_names(getattr(sdk, f"{name}Args")).values())
    for output in set(resource["properties"]) - set(resource["inputProperties"]):
        assert hasattr(getattr(sdk, name), output)


def test_a_connection_has_names_of_the_sdk(schemas: Schemas) -> None:
    served = schemas("command")["types"]["command:remote:Connection"]["properties"]
    known = set(engine_names(pulumi_command.remote.ConnectionArgs).values())
    assert set(served) <= known
    # The SDK always sends these.
    assert {"port", "user", "dialErrorLimit", "perDialTimeout"} <= set(served)


def test_cloudflare_has_names_of_the_sdk(schemas: Schemas) -> None:
    sdk = import_module("pulumi_cloudflare")  # takes 3 s, so only this test imports it
    schema = schemas("cloudflare")
    (token,) = schema["resources"]
    assert sdk.DnsRecord.pulumi_type == token
    compared = {
        sdk.DnsRecordArgs: schema["resources"][token]["inputProperties"],
        sdk.DnsRecordDataArgs: schema["types"]["cloudflare:index/DnsRecordData:DnsRecordData"]["properties"],
        sdk.ProviderArgs: schema["provider"]["inputProperties"],
    }
    for arguments, served in compared.items():
        assert set(served) <= set(engine_names(arguments).values())


def _is_resource(member: object) -> bool:
    return inspect.isclass(member) and issubclass(member, pulumi.Resource)


def _differences(plugin: dict[str, set[str]], sdk: object) -> list[str]:
    """A line for each name that only one side has."""
    found = []
    for name, properties in sorted(plugin.items()):
        expected = set(engine_names(getattr(sdk, f"{name}Args")).values())
        found += [f"{name}.{each}: in the SDK, not in the plugin" for each in sorted(expected - properties)]
        found += [f"{name}.{each}: in the plugin, not in the SDK" for each in sorted(properties - expected)]
    return found
