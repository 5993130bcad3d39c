"""The names under which the edge answers, as records at Cloudflare."""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from infra.settings import Dns as DnsSettings

_COMMENT = "made by Pulumi"
_AUTOMATIC = 1
"""The only time to live (seconds) that a proxied record may have: Cloudflare's own."""
_SECONDS_TO_LIVE = 300


@dataclass(frozen=True)
class DnsArgs:
    """`hosts` are all names to point at the host; those below `domain` share its CAA records."""

    settings: DnsSettings
    domain: str
    hosts: Sequence[str]
    token: pulumi.Output[str]


class Dns(pulumi.ComponentResource):
    """An A and an AAAA record for each name, and who may issue certificates for it.

    The zone is known by its id, so that nothing is looked up at preview.
    """

    def __init__(self, args: DnsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        import pulumi_cloudflare as cloudflare  # noqa: PLC0415 - 3 seconds, which only DNS waits for

        super().__init__("vps:infra:Dns", "dns", None, opts)
        settings = args.settings
        provider = cloudflare.Provider(
            "cloudflare",
            api_token=args.token,
            base_url=settings.base_url,
            opts=pulumi.ResourceOptions(parent=self),
        )
        child = pulumi.ResourceOptions(parent=self, provider=provider)
        addresses = {"A": settings.ipv4, "AAAA": settings.ipv6}
        for host in args.hosts:
            for kind, address in addresses.items():
                if address:
                    cloudflare.DnsRecord(
                        f"{host}-{kind.lower()}",
                        zone_id=settings.zone_id,
                        name=host,
                        type=kind,
                        content=str(address),
                        ttl=_AUTOMATIC if settings.proxied else _SECONDS_TO_LIVE,
                        proxied=settings.proxied,
                        comment=_COMMENT,
                        opts=child,
                    )
        for name in restricted(args.domain, args.hosts):
            for authority in settings.authorities:
                cloudflare.DnsRecord(
                    f"{name}-caa-{authority}",
                    zone_id=settings.zone_id,
                    name=name,
                    type="CAA",
                    data=cloudflare.DnsRecordDataArgs(flags=0, tag="issue", value=authority),
                    ttl=_SECONDS_TO_LIVE,
                    comment=_COMMENT,
                    opts=child,
                )
        self.register_outputs({})


def restricted(domain: str, hosts: Sequence[str]) -> list[str]:
    """Where CAA records must stand to hold for all names: an authority looks at a name, then at each one above it."""
    return [domain, *(host for host in hosts if host != domain and not host.endswith(f".{domain}"))]
