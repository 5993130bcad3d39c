"""Passwords that a service stores in its own data. It reads the configured one at its first start only; after that, its
API changes the password."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import httpx

from infra.services.edge import USER

Address = IPv4Address | IPv6Address
_SECONDS_TO_ANSWER = 20


@dataclass(frozen=True)
class Keeper:
    """A service that stores a password, and how to change it.

    `change(client, old, new)` returns False, and changes nothing, if `old` is not the password. It raises
    httpx.HTTPError for any other failure.
    """

    service: str
    change: Callable[[httpx.Client, str, str], bool]


def client(url: str, edge_password: str, address: Address | None = None) -> httpx.Client:
    """A client of a service behind the edge, with the edge's own user and password.

    With `address`, requests go there with the service's host name: so the names of a local edge need not resolve.
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
    """The edge does not authenticate Grafana's route: Grafana reads the Authorization header itself."""
    body = {"oldPassword": old, "newPassword": new, "confirmNew": new}
    answer = client.put("/api/user/password", json=body, auth=(USER, old))
    if answer.status_code == httpx.codes.UNAUTHORIZED:
        return False
    answer.raise_for_status()
    return True


def change_portainer(client: httpx.Client, old: str, new: str) -> bool:
    """As Portainer's page does it. The edge uses the Authorization header, so the session is a cookie; with a cookie, a
    change needs the CSRF token of an earlier answer, and the origin of the page."""
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
"""By the key of the password in the stack's config."""
