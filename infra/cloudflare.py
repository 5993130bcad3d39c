"""The networks of Cloudflare's proxy, with the date of the list. `make ranges` fetches them from Cloudflare's API.

The firewall admits them, and the edge trusts their X-Forwarded-For. The list is kept in the repository: a preview then
needs no network, and a review shows each change. Cloudflare publishes new ranges before it uses them; the last change
was on 2023-09-28.
"""

from datetime import date
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

FILE = Path(__file__).with_name("cloudflare_ranges.json")


class Ranges(BaseModel):
    """Cloudflare's networks by address family, as published on the day `as_of`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: date
    ipv4: Annotated[tuple[IPv4Network, ...], Field(min_length=1)]
    ipv6: Annotated[tuple[IPv6Network, ...], Field(min_length=1)]

    @property
    def networks(self) -> list[str]:
        """All networks, as text."""
        return [str(network) for network in (*self.ipv4, *self.ipv6)]


RANGES = Ranges.model_validate_json(FILE.read_text())
