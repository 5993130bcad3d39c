"""The list of Cloudflare's networks, and `make ranges`, which updates it."""

import json
from datetime import UTC, datetime

import pytest

from infra.cloudflare import FILE, RANGES
from tools.commands import ranges
from tools.console.steps import StepFailed


def test_the_file_has_the_form_that_make_ranges_writes() -> None:
    assert FILE.read_text() == RANGES.model_dump_json(indent=2) + "\n"
    assert "104.16.0.0/13" in RANGES.networks
    assert "2606:4700::/32" in RANGES.networks


def test_the_networks_in_the_answer_get_todays_date() -> None:
    answer = {"success": True, "result": {"ipv4_cidrs": ["198.51.100.0/24"], "ipv6_cidrs": ["2001:db8::/32"]}}
    found = ranges.parse(json.dumps(answer).encode())
    assert found.networks == ["198.51.100.0/24", "2001:db8::/32"]
    assert found.as_of == datetime.now(UTC).date()


@pytest.mark.parametrize(
    "answer",
    [
        b"<html>",
        b'{"result": null}',
        b'{"result": {"ipv4_cidrs": [], "ipv6_cidrs": ["2001:db8::/32"]}}',
        b'{"result": {"ipv4_cidrs": ["10.0.0.1/8"], "ipv6_cidrs": ["2001:db8::/32"]}}',
    ],
)
def test_an_unexpected_answer_is_refused(answer: bytes) -> None:
    with pytest.raises(StepFailed, match="returned something unexpected"):
        ranges.parse(answer)
