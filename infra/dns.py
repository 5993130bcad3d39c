"""DNS records at Cloudflare for the host names of the edge."""

from collections.abc import Sequence
from typing import Any

import pulumi

from infra.settings import Dns as DnsSettings

_COMMENT = "made by Pulumi"
_AUTOMATIC_TTL = 1
"""Cloudflare's code for a TTL of its own choice, the only one that it accepts for a proxied record."""
_TTL_SECONDS = 300


class Dns(pulumi.ComponentResource):
    """A and AAAA records for each host name, and CAA records: which authorities may issue certificates.

    `hosts` are all host names; those below `domain` share its CAA records. Settings name the zone by its ID, so a
    preview looks nothing up.
    """

    def __init__(
        self,
        settings: DnsSettings,
        domain: str,
        hosts: Sequence[str],
        token: pulumi.Output[str],
        opts: pulumi.ResourceOptions,
    ) -> None:
        import pulumi_cloudflare as cloudflare  # noqa: PLC0415 - the import takes 3 s; only stacks with DNS pay

        super().__init__("vps:infra:Dns", "dns", None, opts)
        provider = cloudflare.Provider(
            "cloudflare",
            api_token=token,
            base_url=settings.base_url,
            opts=pulumi.ResourceOptions(parent=self),
        )
        child = pulumi.ResourceOptions(parent=self, provider=provider)

        def record(kind: str, name: str, suffix: str, **more: Any) -> None:
            cloudflare.DnsRecord(
                f"{name}-{suffix}",
                zone_id=settings.zone_id,
                name=name,
                type=kind,
                comment=_COMMENT,
                opts=child,
                **more,
            )

        ttl = _AUTOMATIC_TTL if settings.proxied else _TTL_SECONDS
        for host in hosts:
            for kind, address in (("A", settings.ipv4), ("AAAA", settings.ipv6)):
                if address:
                    record(kind, host, kind.lower(), content=str(address), ttl=ttl, proxied=settings.proxied)
        for name in caa_names(domain, hosts):
            for authority in settings.authorities:
                data = cloudflare.DnsRecordDataArgs(flags=0, tag="issue", value=authority)
                record("CAA", name, f"caa-{authority}", data=data, ttl=_TTL_SECONDS)
        self.register_outputs({})


def caa_names(domain: str, hosts: Sequence[str]) -> list[str]:
    """The names that need CAA records: an authority looks at the name itself, then at each parent (RFC 8659)."""
    return [domain, *(host for host in hosts if host != domain and not host.endswith(f".{domain}"))]
