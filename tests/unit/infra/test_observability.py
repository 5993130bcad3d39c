"""The observability services: scrapes, rules, probes, networks and alerts."""

import re
from typing import Any, Literal

import pytest
import yaml
from pulumi.runtime import rpc
from pydantic.alias_generators import to_camel

from app.containers.settings import ContainersSettings
from infra.images import UPSTREAM_IMAGES
from monitoring.grafana.files import panel_queries
from monitoring.prometheus.rules import rule_files
from tests.program import SECRETS, Resource, config_files, containers, platform_config, run_program

EXPORTERS = ("node-exporter", "container-exporter", "blackbox-exporter")
OBSERVABILITY = ("prometheus", "alertmanager", "loki", "collector", "jaeger", *EXPORTERS)
MAX_MB = 1200 * 1000**2 // 1024**2


@pytest.fixture(scope="module")
def local() -> list[Resource]:
    return run_program("local", platform_config("local"))


@pytest.fixture(scope="module")
def prod() -> list[Resource]:
    return run_program("prod", platform_config("prod"))


def config(resources: list[Resource], service: str, file: str) -> Any:
    return yaml.safe_load(config_files(resources, service)[file])


def scrapes(resources: list[Resource]) -> dict[str, list[dict[str, Any]]]:
    jobs = config(resources, "prometheus", "/etc/prometheus/prometheus.yml")["scrape_configs"]
    return {job["job_name"]: job["static_configs"] for job in jobs}


def networks(resources: list[Resource], service: str) -> set[str]:
    return {
        network["name"].removeprefix("vps-local-") for network in containers(resources)[service]["networksAdvanced"]
    }


def test_every_service_is_scraped_by_its_name(local: list[Resource]) -> None:
    assert set(scrapes(local)) == {"traefik", "api", "executor", *OBSERVABILITY, "probe"}
    for service in set(OBSERVABILITY) - {"prometheus"}:
        (static,) = scrapes(local)[service]
        assert static["targets"][0].partition(":")[0] == service


def test_rules_are_loaded_and_alerts_go_to_alertmanager(local: list[Resource]) -> None:
    prometheus = config(local, "prometheus", "/etc/prometheus/prometheus.yml")
    assert prometheus["rule_files"] == ["rules/*.yml"]
    assert prometheus["alerting"] == {"alertmanagers": [{"static_configs": [{"targets": ["alertmanager:9093"]}]}]}


def test_the_memory_of_all_of_them_is_limited(local: list[Resource]) -> None:
    assert sum(containers(local)[service]["memory"] for service in OBSERVABILITY) <= MAX_MB


def test_only_alertmanager_and_the_prober_reach_the_internet(local: list[Resource]) -> None:
    outside = {service for service in OBSERVABILITY if "outbound" in networks(local, service)}
    assert outside == {"alertmanager", "blackbox-exporter"}
    internal = {
        resource.inputs["name"]
        for resource in local
        if resource.type == "docker:index/network:Network" and resource.inputs["internal"]
    }
    assert internal == {"vps-local-api", "vps-local-monitoring", "vps-local-management"}
    assert "outbound" not in networks(local, "traefik")
    for service in (*OBSERVABILITY, "grafana"):
        assert networks(local, service) - {"outbound"} == {"monitoring"}


def test_without_tls_probes_use_the_internal_address_of_the_edge(local: list[Resource]) -> None:
    probes = {probe["labels"]["route"]: probe["labels"] for probe in scrapes(local)["probe"]}
    assert set(probes) == {
        *("api", "grafana", "prometheus", "alertmanager", "jaeger", "portainer", "traefik", "status")
    }
    assert probes["api"] == {
        "route": "api",
        "instance": "http://localhost:8000/health",
        "__param_module": "answers",
        "__param_target": "http://traefik:8080/health",
        "__param_hostname": "localhost",
    }
    assert probes["jaeger"]["__param_module"] == "asks_for_password"
    assert probes["jaeger"]["__param_hostname"] == "jaeger.localhost"


def test_with_tls_the_public_urls_are_probed(prod: list[Resource]) -> None:
    probes = {probe["labels"]["route"]: probe["labels"] for probe in scrapes(prod)["probe"]}
    assert probes["api"]["__param_target"] == "https://sandbox.example.com/health"
    assert probes["api"]["__param_module"] == "answers_over_tls"
    assert probes["traefik"]["__param_target"] == "https://traefik.example.com/"
    assert probes["traefik"]["__param_module"] == "asks_for_password_over_tls"


def test_the_modules_of_all_probes_exist(local: list[Resource], prod: list[Resource]) -> None:
    modules = config(local, "blackbox-exporter", "/etc/blackbox/blackbox.yml")["modules"]
    for resources in (local, prod):
        assert {probe["labels"]["__param_module"] for probe in scrapes(resources)["probe"]} <= set(modules)


def test_spans_of_the_edge_and_the_api_go_to_jaeger(local: list[Resource]) -> None:
    edge = config(local, "traefik", "/etc/traefik/traefik.yml")
    assert edge["tracing"]["otlp"]["http"]["endpoint"] == "http://jaeger:4318/v1/traces"
    assert "API_OTLP_ENDPOINT=http://jaeger:4318" in containers(local)["api"]["envs"]
    assert "EXECUTOR_TRACES=true" in containers(local)["executor"]["envs"]


@pytest.mark.parametrize("hours", [1, 36])
def test_jaeger_keeps_traces_for_as_many_hours_as_the_setting_tells(hours: int) -> None:
    resources = run_program("local", platform_config("local", services={"jaeger": {"retention_hours": hours}}))
    storage = config(resources, "jaeger", "/etc/jaeger/jaeger.yml")["extensions"]["jaeger_storage"]
    assert storage["backends"]["disk"]["badger"]["ttl"] == {"spans": f"{hours}h"}


def test_grafana_has_every_source_and_every_dashboard(local: list[Resource]) -> None:
    sources = config(local, "grafana", "/etc/grafana/provisioning/datasources/platform.yml")["datasources"]
    assert {source["uid"]: source["url"] for source in sources} == {
        "prometheus": "http://prometheus:9090",
        "loki": "http://loki:3100",
        "jaeger": "http://jaeger:16686",
    }
    (provider,) = config(local, "grafana", "/etc/grafana/provisioning/dashboards/platform.yml")["providers"]
    folder = provider["options"]["path"]
    assert {query.dashboard for query in panel_queries()} == {
        yaml.safe_load(content)["uid"]
        for file, content in config_files(local, "grafana").items()
        if file.startswith(f"{folder}/")
    }


def test_every_rule_is_loaded(local: list[Resource]) -> None:
    assert set(config_files(local, "prometheus")) == {
        f"/etc/prometheus/{file}" for file in ("prometheus.yml", *(f"rules/{it}" for it in rule_files()))
    }


def test_log_lines_carry_the_service_and_the_stack(local: list[Resource]) -> None:
    for container in containers(local).values():
        assert container["logOpts"]["labels"] == "vps.service,vps.stack"


def test_each_weakened_default_has_a_label(local: list[Resource]) -> None:
    weakened = {
        service: {label["label"] for label in container["labels"] if label["label"].startswith("vps.weakened.")}
        for service, container in containers(local).items()
    }
    root, socket = "vps.weakened.root", "vps.weakened.docker-socket"
    privileges = "vps.weakened.privileges"
    assert {service: labels for service, labels in weakened.items() if labels} == {
        "executor": {root, privileges},
        "portainer": {root, socket},
        "collector": {root, "vps.weakened.host-paths", "vps.weakened.health"},
        "node-exporter": {"vps.weakened.host-paths"},
        "container-exporter": {root, "vps.weakened.host-paths"},
    }


@pytest.mark.parametrize("version", [1, 2])
def test_the_exporter_of_containers_is_told_the_version_of_the_control_groups(version: Literal[1, 2]) -> None:
    resources = run_program("local", platform_config("local", engine={"cgroup_version": version}))
    inputs = containers(resources)["container-exporter"]
    found = ContainersSettings.read(dict(entry.split("=", 1) for entry in inputs["envs"]))
    assert found == ContainersSettings(stack="vps-local", cgroup_version=version)
    assert all(mount["readOnly"] for mount in inputs["mounts"])


def test_every_service_has_a_pinned_image(local: list[Resource]) -> None:
    images = {r.inputs["name"] for r in local if r.type == "docker:index/remoteImage:RemoteImage"}
    assert {UPSTREAM_IMAGES[service] for service in OBSERVABILITY if service != "container-exporter"} <= images


def test_without_a_receiver_alerts_are_only_shown(local: list[Resource]) -> None:
    settings = config(local, "alertmanager", "/etc/alertmanager/alertmanager.yml")
    assert settings["receivers"] == [{"name": "nobody"}]
    assert settings["route"]["receiver"] == "nobody"


def test_each_receiver_is_configured_with_its_secret() -> None:
    mail = {"to": "a@example.com", "sender": "b@example.com", "server": "smtp.example.com:587", "user": "b"}
    alertmanager = {
        **dict.fromkeys(("webhook", "discord", "teams", "pushover", "heartbeat"), True),
        "email": mail,
        "slack": {"channel": "#alerts"},
        "telegram": {"chat": -100},
        "pagerduty": {"region": "eu"},
    }
    resources = run_program("local", platform_config("local", services={"alertmanager": alertmanager}))
    uploads = containers(resources, "secrets")["alertmanager"]["uploads"]
    assert set(uploads) - {"value"} == {rpc._special_sig_key}, "the uploads must be a secret as a whole"
    files = {file.rpartition("/")[2]: text for file, text in config_files(resources, "alertmanager", "secrets").items()}
    named = {to_camel(name): text for name, text in files.items()}
    assert named == {key: value for key, value in SECRETS.items() if key.startswith("alert")}
    settings = config(resources, "alertmanager", "/etc/alertmanager/alertmanager.yml")
    found = {receiver["name"]: receiver for receiver in settings["receivers"]}
    assert settings["route"]["receiver"] == "operator"
    told = found["operator"]
    assert told["email_configs"][0]["smarthost"] == "smtp.example.com:587"
    assert told["telegram_configs"][0]["chat_id"] == -100
    assert told["pagerduty_configs"][0]["url"] == "https://events.eu.pagerduty.com/v2/enqueue"
    read = set(re.findall(r"/run/secrets/(\w+)", yaml.safe_dump(settings)))
    assert read == set(files)


@pytest.mark.parametrize(
    ("alertmanager", "key"),
    [
        ({"webhook": True}, "alertWebhookUrl"),
        ({"heartbeat": True}, "alertHeartbeatUrl"),
        ({"slack": {"channel": "#alerts"}}, "alertSlackUrl"),
        ({"telegram": {"chat": 1}}, "alertTelegramToken"),
        ({"discord": True}, "alertDiscordUrl"),
        ({"teams": True}, "alertTeamsUrl"),
        ({"pushover": True}, "alertPushoverToken"),
        ({"pushover": True}, "alertPushoverUser"),
        ({"pagerduty": {}}, "alertPagerdutyKey"),
    ],
)
def test_a_receiver_without_its_secret_is_refused_by_name(alertmanager: dict[str, Any], key: str) -> None:
    platform = platform_config("local", services={"alertmanager": alertmanager})
    with pytest.raises(Exception, match=rf"secret vps:{key} is missing"):
        run_program("local", platform, secrets={name: value for name, value in SECRETS.items() if name != key})
