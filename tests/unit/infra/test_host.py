"""The commands that prepare the host, under mocks."""

import shlex

import pytest

from infra.config import SettingsError, parse_settings
from tests.program import Resource, platform_config, run_program

COMMAND = "command:remote:Command"


@pytest.fixture(scope="module")
def production() -> list[Resource]:
    return run_program("prod", platform_config("prod"))


def commands(resources: list[Resource]) -> dict[str, dict[str, object]]:
    return {resource.name: resource.inputs for resource in resources if resource.type == COMMAND}


def test_without_a_host_there_are_no_commands() -> None:
    assert not [r for r in run_program("local", platform_config("local")) if r.type.startswith("command:")]


def test_each_concern_is_a_command_of_its_own(production: list[Resource]) -> None:
    names = {
        "firewall-program",
        "sysctl",
        "time",
        "swap",
        "upgrades",
        "logs",
        "apparmor",
        "docker",
        "deploy",
        "sshd",
        "fail2ban",
    }
    assert set(commands(production)) == {f"host-{name}" for name in names}


def test_a_changed_setting_changes_one_command(production: list[Resource]) -> None:
    platform = platform_config("prod")
    platform["host"]["time_zone"] = "Europe/Berlin"
    changed = commands(run_program("prod", platform))
    assert [name for name, inputs in commands(production).items() if changed[name] != inputs] == ["host-time"]


def test_docker_uses_ip6tables_where_the_edge_has_ipv6(production: list[Resource]) -> None:
    platform = platform_config("prod")
    del platform["edge"]["ipv6"], platform["dns"]["ipv6"]
    without = commands(run_program("prod", platform))
    assert '"ip6tables": true' in str(commands(production)["host-docker"]["create"])
    assert "ip6tables" not in str(without["host-docker"]["create"])


def test_the_host_key_is_pinned_and_no_environment_is_sent(production: list[Resource]) -> None:
    for name, inputs in commands(production).items():
        connection = inputs["connection"]["value"]  # type: ignore[index] # The whole input is a secret.
        assert connection["hostKey"].startswith("ssh-ed25519 "), name
        assert inputs["addPreviousOutputInEnv"] is False


def test_a_user_that_is_not_root_uses_sudo_without_a_password() -> None:
    platform = platform_config("prod")
    platform["host"]["ssh"]["user"] = "debian"
    resources = run_program("prod", platform)
    assert all(str(inputs["create"]).startswith("sudo -n sh -s -- apply") for inputs in commands(resources).values())
    (rules,) = [r.inputs for r in resources if r.type == "command:local:Command"]
    words = shlex.split(rules["create"])
    assert "debian@vps.example.com" in words
    assert "sudo -n /usr/local/lib/vps/firewall keep" in words


def test_an_unreadable_private_key_is_named() -> None:
    platform = platform_config("prod")
    platform["host"]["ssh"]["identity_file"] = "/nowhere/key"
    with pytest.raises(Exception, match=r"host\.ssh\.identity_file can't be read"):
        run_program("prod", platform)


@pytest.mark.parametrize(
    ("key", "value"),
    [("time_zone", "../etc/passwd"), ("deploy_user", "a b"), ("deploy_keys", []), ("reboot_at", "24:00")],
)
def test_a_bad_setting_of_the_host_is_named(key: str, value: object) -> None:
    platform = platform_config("prod")
    platform["host"][key] = value
    with pytest.raises(SettingsError, match=rf"host\.{key}"):
        parse_settings(platform, stack="prod")
