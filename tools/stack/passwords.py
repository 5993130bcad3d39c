"""Passwords that a service keeps in its own data: the configured one counts at its very first start, and from then on
only its API changes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import httpx

from infra.services.edge import USER

Address = IPv4Address | IPv6Address
_SECONDS_TO_ANSWER = 20


@dataclass(frozen=True)
class Keeper:
    """A service that keeps a password: its name, and how it is given another one.

    `change(client, old, new)` is false when `old` is not its password; nothing has changed then. It raises
    httpx.HTTPError for everything else that went wrong.
    """

    service: str
    change: Callable[[httpx.Client, str, str], bool]


def client(url: str, edge_password: str, address: Address | None = None) -> httpx.Client:
    """A client of a service behind the edge, with what the edge itself may ask for.

    With `address`, it is reached there under its name: what an edge on this machine publishes needs no name resolved.
    """
    asked = httpx.URL(url)
    return httpx.Client(
        base_url=asked.copy_with(host=str(address)) if address else asked,
        headers={"host": asked.netloc.decode()},
        auth=(USER, edge_password),
        timeout=_SECONDS_TO_ANSWER,
        trust_env=False,
    )


def change_grafana(client: httpx.Client, old: str, new: str) -> bool:
    """The edge asks for no password before Grafana, which takes the header itself."""
    body = {"oldPassword": old, "newPassword": new, "confirmNew": new}
    answer = client.put("/api/user/password", json=body, auth=(USER, old))
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return False
    answer.raise_for_status()
    return True


def change_portainer(client: httpx.Client, old: str, new: str) -> bool:
    """As its page does it: the edge takes the header of the authentication, so the session is a cookie, and a change by
    cookie needs the token that came with an earlier answer, and the page's own address."""
    answer = client.post("/api/auth", json={"username": USER, "password": old})
    if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
        return False
    answer.raise_for_status()
    user = client.get("/api/users/me")
    user.raise_for_status()
    origin = f"{client.base_url.scheme}://{client.headers['host']}"
    proof = {"x-csrf-token": user.headers.get("x-csrf-token", ""), "origin": origin, "referer": f"{origin}/"}
    body = {"password": old, "newPassword": new}
    client.put(f"/api/users/{user.json()['Id']}/passwd", json=body, headers=proof).raise_for_status()
    return True


KEEPERS: Mapping[str, Keeper] = {
    "grafanaPassword": Keeper("grafana", change_grafana),
    "portainerPassword": Keeper("portainer", change_portainer),
}
"""By the key of the password in a stack's config."""
