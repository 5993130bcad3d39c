"""Loading the config: frozen models, or an error that names each key at fault."""

from typing import Any

import pydantic
import pytest

from infra.config import SettingsError, parse_settings
from infra.settings import STACKS_STORE
from tests.program import SECRETS, platform_config, run_program

SFTP = {"address": "nas.example.com", "user": "vps", "host_key": "ssh-ed25519 AAAA", "path": "backups"}


def parse(**overrides: Any) -> Any:
    return parse_settings(platform_config("local", **overrides), stack="local")


def test_tracked_local_config_is_valid_and_frozen() -> None:
    settings = parse()
    assert settings.name == "vps-local"
    with pytest.raises(pydantic.ValidationError):
        settings.edge.http_port = 1


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"sandbx": {}}, ["sandbx: unknown key"]),
        ({"edge": {"http_prot": 1}}, ["edge.http_prot: unknown key"]),
        ({"edge": {"ipv4": None}}, ["edge", "nobody could reach the edge"]),
        ({"edge": {"ipv6": "127.0.0.1"}}, ["edge.ipv6", "127.0.0.1"]),
        ({"edge": {"http_port": 70000}}, ["edge.http_port", "65535", "70000"]),
        ({"edge": {"domain": "not a host"}}, ["edge.domain", "not a host"]),
        ({"sandbox": {"profile": {"pids": "many"}}}, ["sandbox.profile.pids", "integer"]),
        ({"sandbox": {"profile": {"pidz": 4}}}, ["sandbox.profile.pidz: unknown key"]),
        ({"engine": {"host": "vps.example.com"}}, ["engine.host", "unix|ssh|tcp"]),
        ({"images": {}}, ["images lacks", "make up"]),
        # Configurations of version 0.4 may have these keys.
        ({"images": {"app": "a", "sandbox-bash": "b"}}, ["images has unknown names ['sandbox-bash']", "'executor'"]),
        ({"sandbox": {"runtime": "runc"}}, ["sandbox.runtime", "no runtime 'runc'; known are crun, runsc"]),
        ({"unavailable": {"traefik": "x"}}, ["unavailable has unknown names ['traefik']"]),
        ({"name": "Not Allowed"}, ["name", "Not Allowed"]),
        ({"edge": {"tls": {"port": 443}}}, ["edge.tls.email is missing: the ACME authority needs it"]),
        ({"edge": {"tls": {"email": "a@b.c", "authority": {"url": "http:"}}}}, ["edge.tls.authority.url: String"]),
        ({"edge": {"tls": {"email": "a@b.c", "authority": "prod"}}}, ["edge.tls.authority: Input", "'production'"]),
        ({"edge": {"http_port": 443, "tls": {"email": "a@b.c"}}}, ["edge: http_port and tls.port are both 443"]),
        ({"sandbox": {"profile": {"cpus": 0.009}}}, ["sandbox.profile.cpus", "0.01"]),
        ({"services": {"prometheus": {"retention_days": 106752}}}, ["services.prometheus.retention_days", "36500"]),
        ({"services": {"loki": {"retention_hours": 2562048}}}, ["services.loki.retention_hours", "876000"]),
        ({"backup": {"s3": {"url": "https://me:secret@s3.example.com/b/x"}}}, ["backup.s3.url", "String should match"]),
        ({"backup": {"at": "3:30"}}, ["backup.at", "String should match"]),
        ({"backup": {"s3": {"url": "https://s3.example.com/b"}, "sftp": SFTP}}, ["backup: s3 and sftp are both set"]),
        ({"edge": {"http_port": 0}, "sandbox": {"concurrency": 0}}, ["edge.http_port", "sandbox.concurrency"]),
    ],
)
def test_a_bad_setting_is_named_by_its_key_and_its_fault(overrides: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingsError) as error:
        parse(**overrides)
    for word in ["Pulumi.local.yaml", *words]:
        assert word in str(error.value)


def test_without_the_image_of_its_store_a_stack_is_refused() -> None:
    given = {"unavailable": {"valkey": "its image could not be pulled"}, "on_unavailable": "notice"}
    assert not parse(**given).notices()
    with pytest.raises(SettingsError, match=r"rate_store is valkey://valkey:6379/0, but its image could not be pulled"):
        parse(**given, sandbox={"rate_store": STACKS_STORE})


def test_an_unavailable_service_is_an_error_unless_notices_are_allowed() -> None:
    reason = {"grafana": "its image could not be pulled"}
    with pytest.raises(SettingsError, match=r"services.grafana.enabled: false"):
        parse(unavailable=reason, on_unavailable="error")
    settings = parse(unavailable=reason, on_unavailable="notice")
    assert not settings.runs("grafana")
    assert settings.notices() == ["grafana is off: its image could not be pulled"]


def test_a_service_that_is_switched_off_gives_no_notice() -> None:
    settings = parse(unavailable={"grafana": "no image"}, services={"grafana": {"enabled": False}})
    assert settings.notices() == []


def test_an_unknown_config_key_is_refused_by_name() -> None:
    with pytest.raises(Exception, match=r"unknown config vps:plattform.*pulumi config rm vps:plattform"):
        run_program("local", platform_config("local"), extra={"vps:plattform": "{}"})


@pytest.mark.parametrize("key", ["dashboardPassword", "grafanaPassword", "portainerPassword"])
def test_a_missing_secret_is_named(key: str) -> None:
    with pytest.raises(Exception, match=rf"secret vps:{key} is missing.*pulumi config set --secret vps:{key}"):
        run_program("local", platform_config("local"), secrets={k: v for k, v in SECRETS.items() if k != key})


def test_secrets_of_services_that_are_off_are_not_needed() -> None:
    services = {"grafana": {"enabled": False}, "portainer": {"enabled": False}}
    only = {"dashboardPassword": SECRETS["dashboardPassword"]}
    assert run_program("local", platform_config("local", services=services), secrets=only)


def test_a_secret_in_plain_text_is_refused() -> None:
    with pytest.raises(Exception, match=r"vps:dashboardPassword is not encrypted"):
        run_program("local", platform_config("local"), encrypted=False)
