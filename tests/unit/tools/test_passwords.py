"""How Grafana and Portainer take another password, against stand-ins that follow their APIs: neither's image can be had
where this was written."""

import json
from collections.abc import Callable
from ipaddress import ip_address

import httpx
import pytest

from tools.stack import passwords

EDGE = httpx.BasicAuth("admin", "edge")._auth_header
USERS = [{"Id": 7, "Username": "admin"}]
Handler = Callable[[httpx.Request], httpx.Response]


def client(handler: Handler, service: str = "portainer") -> httpx.Client:
    made = passwords.client(f"https://{service}.example.com", "edge")
    made._transport = httpx.MockTransport(handler)
    made._mounts = {}
    return made


class Portainer:
    """Portainer's API behind the edge. The requests are those that api/http in its source defines."""

    def __init__(self, password: str) -> None:
        self.password = password

    def __call__(self, request: httpx.Request) -> httpx.Response:
        assert request.headers["authorization"] == EDGE
        body = json.loads(request.content or b"null")
        has_session = "portainer_api_key=session" in request.headers.get("cookie", "")
        match request.method, request.url.path:
            case "POST", "/api/auth":
                if body != {"username": "admin", "password": self.password}:
                    return httpx.Response(422, json={"message": "Invalid credentials"})
                # Portainer makes no CSRF check at a sign-in, so it returns an empty token.
                cookie = {"set-cookie": "portainer_api_key=session; Path=/; HttpOnly; SameSite=Strict"}
                return httpx.Response(200, json={"jwt": "session"}, headers={"x-csrf-token": "", **cookie})
            case "GET", "/api/users/me" if has_session:
                cookie = {"set-cookie": "_gorilla_csrf=masked; Path=/; HttpOnly"}
                return httpx.Response(200, json=USERS[0], headers={"x-csrf-token": "token", **cookie})
            case "PUT", "/api/users/7/passwd" if has_session:
                return self._change(request, body)
        return httpx.Response(401)

    def _change(self, request: httpx.Request, body: dict[str, str]) -> httpx.Response:
        origin = f"https://{request.headers['host']}"
        wanted = {"x-csrf-token": "token", "origin": origin, "referer": f"{origin}/"}
        if "_gorilla_csrf=masked" not in request.headers["cookie"] or any(
            request.headers.get(name) != value for name, value in wanted.items()
        ):
            return httpx.Response(403, json={"message": "Forbidden - CSRF token invalid"})
        if body["password"] != self.password:
            return httpx.Response(403)
        self.password = body["newPassword"]
        return httpx.Response(204)


def test_portainers_password_is_changed_behind_the_edges_authentication() -> None:
    portainer = Portainer("old")
    with client(portainer) as asking:
        assert passwords.change_portainer(asking, "old", "new")
    assert portainer.password == "new"


def test_a_wrong_old_password_of_portainer_changes_nothing() -> None:
    portainer = Portainer("old")
    with client(portainer) as asking:
        assert not passwords.change_portainer(asking, "another", "new")
    assert portainer.password == "old"


def test_grafanas_password_is_changed_with_the_old_one() -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(200, json={"message": "User password changed"})

    with client(answer, "grafana") as asking:
        assert passwords.change_grafana(asking, "old", "new")
    (request,) = asked
    assert (request.method, str(request.url)) == ("PUT", "https://grafana.example.com/api/user/password")
    assert request.headers["authorization"] == httpx.BasicAuth("admin", "old")._auth_header
    assert json.loads(request.content) == {"oldPassword": "old", "newPassword": "new", "confirmNew": "new"}


def test_a_wrong_old_password_of_grafana_is_distinguished_from_other_refusals() -> None:
    with client(lambda request: httpx.Response(401), "grafana") as asking:
        assert not passwords.change_grafana(asking, "old", "new")
    with client(lambda request: httpx.Response(502), "grafana") as asking, pytest.raises(httpx.HTTPStatusError):
        passwords.change_grafana(asking, "old", "new")


@pytest.mark.parametrize(("address", "host"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_a_local_service_is_reached_without_resolving_its_name(address: str, host: str) -> None:
    with passwords.client("http://grafana.localhost:8000", "edge", ip_address(address)) as asking:
        assert str(asking.base_url) == f"http://{host}:8000"
        assert asking.headers["host"] == "grafana.localhost:8000"
