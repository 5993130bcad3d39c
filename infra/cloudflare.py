"""From where Cloudflare's proxy connects: a list with a date, which `make ranges` refreshes from Cloudflare's API.

The firewall lets these in, and the edge believes these about who the visitor is. A list in the repository, and not a
look-up, so that a preview needs no network and a change of it is seen in review. Cloudflare publishes a new range some
time before it uses it, and its last change was the one of 2023-09-28.
"""

from datetime import date
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FILE = Path(__file__).with_name("cloudflare_ranges.json")


class Ranges(BaseModel):
    """Networks by address family, as they were on a day."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    ipv4: Annotated[tuple[IPv4Network, ...], Field(min_length=1)]
    ipv6: Annotated[tuple[IPv6Network, ...], Field(min_length=1)]

    @property
    def networks(self) -> list[str]:
        """All of them, as text."""
        return [str(network) for network in (*self.ipv4, *self.ipv6)]


RANGES = Ranges.model_validate_json(FILE.read_text())
