"""What blackbox_exporter asks, and what it takes for an answer."""

from typing import Any, Literal

PORT = 9115
Module = Literal["answers", "asks_for_password", "answers_over_tls", "asks_for_password_over_tls"]
_SECONDS = 5
_OK, _UNAUTHORIZED = 200, 401


def blackbox_config() -> dict[str, Any]:
    """The content of blackbox.yml: one module for each kind of route."""
    return {
        "modules": {
            "answers": _module(_OK, tls=False),
            "asks_for_password": _module(_UNAUTHORIZED, tls=False),
            "answers_over_tls": _module(_OK, tls=True),
            "asks_for_password_over_tls": _module(_UNAUTHORIZED, tls=True),
        }
    }


def module(has_password: bool, tls: bool) -> Module:
    """The one for a route. A password is never sent: that it is asked for is the right answer."""
    if has_password:
        return "asks_for_password_over_tls" if tls else "asks_for_password"
    return "answers_over_tls" if tls else "answers"


def _module(status: int, tls: bool) -> dict[str, Any]:
    return {
        "prober": "http",
        "timeout": f"{_SECONDS}s",
        "http": {
            "valid_status_codes": [status],
            "follow_redirects": False,
            "fail_if_not_ssl": tls,
            "preferred_ip_protocol": "ip4",
        },
    }
