"""The text of the firewall's rules. tests/vps tests what they let through."""

import re
from ipaddress import ip_network

import pytest

from infra.host.firewall import ruleset
from tests.program import platform_config, run_program


def rules(ssh_sources: list[str], web: list[str]) -> str:
    return ruleset(2222, list(map(ip_network, ssh_sources)), [443, 80], list(map(ip_network, web)))


def elements(text: str, name: str) -> str:
    found = re.search(rf"set {name} {{[^}}]*elements = {{ ([^}}]*) }}", text)
    return found[1] if found else ""


def test_networks_are_split_by_address_family() -> None:
    text = rules(["192.0.2.0/24", "2001:db8::/32"], ["198.51.100.0/24"])
    assert elements(text, "ssh4") == "192.0.2.0/24"
    assert elements(text, "ssh6") == "2001:db8::/32"
    assert elements(text, "web4") == "198.51.100.0/24"
    # Without elements, the set admits nobody.
    assert elements(text, "web6") == ""


def test_ports_are_those_of_the_settings() -> None:
    text = rules(["192.0.2.0/24"], [])
    assert "tcp dport 2222 ip saddr @ssh4 accept" in text
    assert "tcp dport { 80, 443 } ip6 saddr @web6 accept" in text


def test_the_rules_replace_one_table_in_one_transaction() -> None:
    text = rules(["192.0.2.0/24"], [])
    assert text.startswith("table inet vps\ndelete table inet vps\ntable inet vps {\n")
    assert set(re.findall(r"^(?:delete )?table (.*?)(?: \{)?$", text, re.MULTILINE)) == {"inet vps"}
    assert "flush" not in text


@pytest.mark.parametrize("choice", ["cloudflare", "anyone"])
def test_web_sources_are_cloudflares_networks_or_all(choice: str) -> None:
    platform = platform_config("prod")
    platform["host"]["firewall"]["web_sources"] = choice
    (rules,) = [r.inputs["stdin"] for r in run_program("prod", platform) if r.type == "command:local:Command"]
    assert ("173.245.48.0/20" in elements(rules, "web4")) is (choice == "cloudflare")
    assert ("2400:cb00::/32" in elements(rules, "web6")) is (choice == "cloudflare")
    assert (elements(rules, "web6") == "::/0") is (choice == "anyone")
