"""Several units side by side on Docker."""

from typing import Any

import pytest
import yaml

from infra.config import SettingsError, parse_settings
from infra.service import SERVICE_LABEL
from infra.settings import STACKS_STORE
from policies.inputs import Inputs
from tests.program import Resource, config_files, containers, platform_config, run_program, watched_file

TWO = {"units": 2, "rate_store": STACKS_STORE}


@pytest.fixture(scope="module")
def two() -> list[Resource]:
    return run_program("local", platform_config("local", sandbox=TWO))


def test_units_that_would_each_count_by_themselves_are_refused_with_the_fix() -> None:
    with pytest.raises(
        SettingsError, match=r"units is 2, and each unit would count by itself\. Set sandbox\.rate_store"
    ):
        parse_settings(platform_config("local", sandbox={"units": 2}), "local")
    with pytest.raises(SettingsError, match=r"sandbox\.units is for Docker\. Leave it out, and set cluster\.units"):
        parse_settings(platform_config("cluster", sandbox=TWO), "cluster")


def test_each_unit_has_a_socket_of_its_own(two: list[Resource]) -> None:
    made = containers(two)

    def socket(service: str) -> Any:
        return next(it["source"] for it in made[service]["mounts"] if it["target"] == "/run/executor")

    assert socket("api") == socket("executor") != socket("api-2") == socket("executor-2")
    names = {made[service]["name"] for service in ("api", "api-2", "executor", "executor-2")}
    assert len(names) == 4
    assert made["executor-2"]["memory"] == made["executor"]["memory"]
    for service, of in (("api-2", "api"), ("executor-2", "executor")):
        assert {**made[service], "labels": [], "name": "", "hostname": "", "mounts": [], "networksAdvanced": []} == {
            **made[of],
            "labels": [],
            "name": "",
            "hostname": "",
            "mounts": [],
            "networksAdvanced": [],
        }


def test_the_edge_sends_to_the_units_that_are_healthy(two: list[Resource]) -> None:
    http = yaml.safe_load(watched_file(two, "traefik"))["http"]
    balancer = http["services"]["api"]["loadBalancer"]
    assert [it["url"] for it in balancer["servers"]] == [
        f"http://{containers(two)[service]['name']}:8000" for service in ("api", "api-2")
    ]
    assert balancer["healthCheck"]["path"] == "/health"
    assert http["services"][http["routers"]["api"]["service"]]["failover"] == {
        "service": "api",
        "fallback": "unreachable",
    }
    assert http["routers"]["api"]["middlewares"][-1] == "again"
    one = yaml.safe_load(watched_file(run_program("local", platform_config("local")), "traefik"))["http"]
    assert set(one["services"]["api"]["loadBalancer"]) == {"servers"}
    assert one["routers"]["api"]["service"] == "api"


def test_no_command_has_an_empty_value_which_the_provider_refuses(two: list[Resource]) -> None:
    commands = {service: inputs.get("command") or [] for service, inputs in containers(two).items()}
    assert commands["valkey"]
    assert [service for service, command in commands.items() if "" in command] == []


def test_metrics_tell_units_apart(two: list[Resource]) -> None:
    prometheus = yaml.safe_load(config_files(two, "prometheus")["/etc/prometheus/prometheus.yml"])
    jobs = {it["job_name"]: [to["targets"] for to in it["static_configs"]] for it in prometheus["scrape_configs"]}
    assert jobs["api"] == jobs["executor"] == [["api:9000"], ["api-2:9000"]]
    assert not [job for job in jobs if job.endswith("-2")]


@pytest.mark.parametrize(
    ("label", "service"),
    [
        ("executor-2", "executor"),
        ("api-16", "api"),
        ("executor", "executor"),
        ("api-rooms", "api"),
        ("executor-rooms", "executor"),
        ("executor-", "executor-"),
        ("executor-2b", "executor-2b"),
        ("api-rooms-2", "api-rooms-2"),
        ("traefik-rooms", "traefik-rooms"),
        ("container-exporter-2", "container-exporter-2"),
        ("my-executor-2", "my-executor-2"),
        ("executor-2\n", "executor-2\n"),
    ],
)
def test_policies_know_a_service_in_each_unit_and_no_other(label: str, service: str) -> None:
    inputs = Inputs({"labels": [{"label": SERVICE_LABEL, "value": label}]})
    assert inputs.service == service
