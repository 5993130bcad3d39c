"""The status page: its job, the edge's route to its files, and the folder of notices."""

from pathlib import Path

import pytest
import yaml

from app.status.settings import StatusSettings
from infra.config import SettingsError, parse_settings
from tests.program import Resource, config_files, containers, platform_config, run_program, watched_file

NOTICE = '+++\ntitle = "Slow"\nbegins = 2026-11-30T10:00:00Z\n+++\nWe look at it.\n'


def settings(resources: list[Resource]) -> StatusSettings:
    return StatusSettings.read(dict(it.split("=", 1) for it in containers(resources)["status"]["envs"]))


def test_the_edge_serves_the_files_that_the_job_writes_and_can_write_none_itself() -> None:
    resources = run_program("local", platform_config("local"))
    http = yaml.safe_load(watched_file(resources, "traefik"))["http"]
    router = http["routers"]["status"]
    assert (router["rule"], router["service"]) == ("Host(`status.localhost`)", "noop@internal")
    plugin = http["middlewares"]["files-status"]["plugin"]["problems"]
    assert router["middlewares"] == ["security-headers", "rate-status", "files-status"]
    own = settings(resources)
    mounts = {
        service: next(it for it in containers(resources)[service]["mounts"] if it["target"] == plugin["folder"])
        for service in ("status", "traefik")
    }
    assert plugin["folder"] == str(own.folder)
    assert mounts["status"]["source"] == mounts["traefik"]["source"] == "vps-local-status-data"
    assert {service: it["readOnly"] for service, it in mounts.items()} == {"status": False, "traefik": True}
    assert (own.title, own.url) == ("Status of localhost", "http://status.localhost:8000")


def test_the_page_shows_what_is_for_visitors_and_asks_the_stacks_prometheus() -> None:
    own = settings(run_program("local", platform_config("local")))
    assert (own.routes, own.prometheus, own.notices) == (("api",), "http://prometheus:9090", None)
    without = run_program("local", platform_config("local", services={"prometheus": {"enabled": False}}))
    assert settings(without).prometheus is None
    assert containers(without)["status"]["networkMode"] == "none"


def test_notices_reach_the_job_and_a_mistake_is_refused_by_the_preview(tmp_path: Path) -> None:
    (tmp_path / "slow.md").write_text(NOTICE)
    platform = platform_config("local", services={"status": {"notices": str(tmp_path)}})
    resources = run_program("local", platform)
    assert config_files(resources, "status") == {"/etc/status/slow.md": NOTICE}
    assert str(settings(resources).notices) == "/etc/status"
    (tmp_path / "slow.md").write_text(NOTICE.replace("begins", "began"))
    with pytest.raises(SettingsError, match=r"services\.status\.notices: slow\.md can't be used: .*began"):
        parse_settings(platform, "local")


def test_without_it_the_edge_has_neither_the_route_nor_the_volume() -> None:
    resources = run_program("local", platform_config("local", services={"status": {"enabled": False}}))
    assert "status" not in containers(resources)
    assert "status" not in yaml.safe_load(watched_file(resources, "traefik"))["http"]["routers"]
    assert not [it for it in containers(resources)["traefik"]["mounts"] if it["target"] == "/var/lib/status"]
