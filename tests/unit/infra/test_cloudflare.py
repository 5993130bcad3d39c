"""The list of Cloudflare's ranges, and what refreshes it."""

import json
from datetime import UTC, datetime

import pytest

from infra.cloudflare import FILE, RANGES
from tools.commands import ranges
from tools.console.steps import StepFailed


def test_the_file_is_as_the_refresh_would_write_it() -> None:
    assert FILE.read_text() == RANGES.model_dump_json(indent=2) + "\n"
    assert "104.16.0.0/13" in RANGES.networks
    assert "2606:4700::/32" in RANGES.networks


def test_the_apis_answer_becomes_ranges_of_today() -> None:
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
def test_another_answer_changes_nothing(answer: bytes) -> None:
    with pytest.raises(StepFailed, match="does not answer as expected"):
        ranges.parse(answer)
