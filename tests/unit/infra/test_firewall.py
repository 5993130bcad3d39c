"""The rules as text. What they let through is shown on a host, in tests/vps."""

import re
from ipaddress import ip_network

import pytest

from infra.firewall import FirewallArgs, ruleset, web_sources
from infra.settings import Ssh

SSH = Ssh(address="vps.example.com", port=2222, host_key="ssh-ed25519 AAAA")


def rules(ssh_sources: list[str], web: list[str]) -> str:
    return ruleset(
        FirewallArgs(
            ssh=SSH,
            ssh_sources=[ip_network(source) for source in ssh_sources],
            web_ports=[443, 80],
            web_sources=[ip_network(source) for source in web],
            rollback_seconds=60,
        )
    )


def elements(text: str, name: str) -> str | None:
    found = re.search(rf"set {name} {{[^}}]*elements = {{ ([^}}]*) }}", text)
    return found[1] if found else None


def test_sources_are_sorted_by_the_version_of_their_address() -> None:
    text = rules(["192.0.2.0/24", "2001:db8::/32"], ["198.51.100.0/24"])
    assert elements(text, "ssh4") == "192.0.2.0/24"
    assert elements(text, "ssh6") == "2001:db8::/32"
    assert elements(text, "web4") == "198.51.100.0/24"
    # An empty set is nobody.
    assert elements(text, "web6") is None


def test_ports_are_those_of_the_settings() -> None:
    text = rules(["192.0.2.0/24"], [])
    assert "tcp dport 2222 ip saddr @ssh4 accept" in text
    assert "tcp dport { 80, 443 } ip6 saddr @web6 accept" in text


def test_a_change_is_one_transaction_that_touches_one_table() -> None:
    text = rules(["192.0.2.0/24"], [])
    assert text.startswith("table inet vps\ndelete table inet vps\ntable inet vps {\n")
    assert set(re.findall(r"^(?:delete )?table (.*?)(?: \{)?$", text, re.MULTILINE)) == {"inet vps"}
    assert "flush" not in text


@pytest.mark.parametrize(("choice", "a_source"), [("anyone", "::/0"), ("cloudflare", "173.245.48.0/20")])
def test_the_web_is_for_the_proxy_or_for_everyone(choice: str, a_source: str) -> None:
    sources = web_sources(choice)  # type: ignore[arg-type]
    assert ip_network(a_source) in sources
    assert {source.version for source in sources} == {4, 6}
    assert (ip_network("0.0.0.0/0") in sources) == (choice == "anyone")
