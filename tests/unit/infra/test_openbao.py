"""The containers of `services.openbao`, and what it changes of the others."""

import json
from typing import Any

import pytest

from infra.config import parse_settings
from infra.services import openbao
from infra.services.catalog import running
from tests.program import SECRETS, Resource, config_files, containers, platform_config, run_program

ON = {"services": {"openbao": {"enabled": True}, "alertmanager": {"enabled": True, "webhook": True}}, "backup": {}}
SERVICES = {"alertmanager", "api", "backup", "grafana", "portainer", "traefik"}


@pytest.fixture(scope="module")
def program() -> list[Resource]:
    return run_program("prod", platform_config("prod", **ON))


def mounts(program: list[Resource], service: str) -> dict[str, Any]:
    return {mount["target"]: mount for mount in containers(program)[service]["mounts"]}


def test_each_service_with_secrets_has_an_agent_and_reads_what_that_one_writes(program: list[Resource]) -> None:
    agents = {name.removesuffix("-agent") for name in containers(program) if name.endswith("-agent")}
    assert agents == SERVICES
    for service in SERVICES:
        written, read = (mounts(program, name)["/run/secrets"] for name in (f"{service}-agent", service))
        assert written["source"] == read["source"]
        assert (written["readOnly"], read["readOnly"]) == (False, True)
    assert "/etc/api" not in mounts(program, "api")
    assert "API_KEYS_FILE=/run/secrets/keys.json" in containers(program)["api"]["envs"]


def test_an_agent_reads_its_own_services_secrets_alone(program: list[Resource]) -> None:
    agent = json.loads(config_files(program, "traefik-agent")["/etc/openbao/agent.json"])
    assert {it["destination"] for it in agent["template"]} == {
        "/login/expires",
        "/run/secrets/users",
        "/run/secrets/cloudflare-token",
    }
    assert "secret/data/traefik" in str(agent)
    assert "secret/data/backup" not in str(agent)


def test_only_what_reads_a_secret_at_its_start_is_started_again(program: list[Resource]) -> None:
    again = {name for name, it in containers(program).items() if openbao._AGAIN in it["entrypoints"]}
    assert again == {"traefik"}
    files, program_of = containers(program)["traefik"]["entrypoints"][3:]
    assert files == "/run/secrets/cloudflare-token /run/secrets/users"
    assert program_of == "traefik"


def test_openbao_and_the_agents_are_on_no_network(program: list[Resource]) -> None:
    for name, it in containers(program).items():
        if name == "openbao" or name.endswith("-agent"):
            assert it["networkMode"] == "none"
            assert "networksAdvanced" not in it


def test_prometheus_scrapes_the_keeper(program: list[Resource]) -> None:
    assert "keeper:9600" in config_files(program, "prometheus")["/etc/prometheus/prometheus.yml"]
    (network,) = containers(program)["keeper"]["networksAdvanced"]
    assert network["name"] == "vps-prod-monitoring"


def test_another_secret_changes_the_keeper_alone(program: list[Resource]) -> None:
    other = run_program(
        "prod", platform_config("prod", **ON), {**SECRETS, "alertWebhookUrl": "https://other.example.com"}
    )
    before, after = containers(program), containers(other)
    assert {name for name in before if before[name] != after[name]} == {"keeper"}


def test_without_it_no_service_is_held_and_none_is_there() -> None:
    settings = parse_settings(platform_config("local"), "local")
    assert [openbao.held(service, settings) for service in running(settings)] == [{}] * len(running(settings))
    assert {"openbao", "keeper"} & set(containers(run_program("local", platform_config("local")))) == set()
