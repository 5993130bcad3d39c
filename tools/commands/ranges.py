"""`make ranges`: download the address ranges of Cloudflare's proxy into infra/cloudflare_ranges.json."""

import argparse
import json
import urllib.request
from datetime import UTC, datetime

from pydantic import ValidationError

from infra.cloudflare import FILE, RANGES, Ranges
from tools.console.steps import Runner, StepFailed

SOURCE = "https://api.cloudflare.com/client/v4/ips"
_SECONDS_TO_ANSWER = 15


def run(options: argparse.Namespace, runner: Runner) -> None:
    found = parse(_fetch())
    FILE.write_text(found.model_dump_json(indent=2) + "\n")
    before, now = set(RANGES.networks), set(found.networks)
    for sign, networks in (("+", now - before), ("-", before - now)):
        for network in sorted(networks):
            runner.console.print(f"{sign} {network}")
    changed = "changed: commit it, and the next `up` applies it" if before != now else "the same as before"
    runner.console.print(f"Cloudflare's ranges as of {found.as_of} are {changed}.")


def parse(answer: bytes) -> Ranges:
    """The ranges in the API's answer, dated today.

    Raises:
        StepFailed: the answer has another shape, or an empty list, which would lock every visitor out.
    """
    try:
        result = json.loads(answer)["result"]
        return Ranges(
            as_of=datetime.now(UTC).date(), ipv4=sorted(result["ipv4_cidrs"]), ipv6=sorted(result["ipv6_cidrs"])
        )
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise StepFailed(
            f"{SOURCE} returned something unexpected ({error}).", f"Nothing was changed. Compare {FILE} by hand."
        ) from error


def _fetch() -> bytes:
    try:
        with urllib.request.urlopen(SOURCE, timeout=_SECONDS_TO_ANSWER) as answer:
            return bytes(answer.read())
    except OSError as error:
        raise StepFailed(
            f"{SOURCE} can't be reached ({error}).", "Nothing was changed. Run this again online."
        ) from error
