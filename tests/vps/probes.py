"""Looks at a VPS from inside and outside, for the tests."""

import contextlib
import io
import json
import secrets
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, cast
from urllib.parse import urlsplit

import httpx

from app.profile import FLOOR
from tests.vps.conftest import API
from tests.vps.kinds import Vps
from tests.vps.network import Namespace
from tests.vps.visits import Visitor
from tests.waiting import SLOWNESS, until
from tools.console.steps import Report
from tools.stack import health
from tools.stack.local_stack import Stack

# Files in which packages and user management keep their state: they stay with the packages. (The last three are
# Docker's own version of a file that tests/vps/host.py writes, the file in which Ubuntu records the first login, and
# the host key, which each server has of its own.)
_KEPT = (
    "/etc/(passwd|group|shadow|gshadow|subuid|subgid)-?|/etc/ld.so.cache|/etc/rc.\\.d/.*|/etc/docker/key.json"
    "|/etc/default/docker.dpkg-dist|/root/.cache/motd.legal-displayed|/etc/ssh/ssh_host_.*"
)
FILES = f"find /etc /usr/local /root /home -type f -regextype egrep ! -regex '{_KEPT}' -exec sha256sum {{}} + | sort"
CONTAINERS = "docker ps --no-trunc --format '{{.Label \"vps.service\"}} {{.ID}}' | sort"


def replaced(vps: Vps, running: str) -> set[str]:
    """The services of which a container has come or gone since CONTAINERS printed `running`."""
    return {line.split()[0] for line in {*running.splitlines()} ^ {*vps.shell(CONTAINERS).splitlines()}}


def newer(vps: Vps, image: str) -> str:
    """The reference of another image in the VPS's Docker, made from this one."""
    recipe = io.BytesIO(f"FROM {image}\nLABEL next=1\n".encode())
    vps.engine.client().images.build(fileobj=recipe, tag=f"{image}-next")
    return f"{image}-next"


def statuses(visitor: Visitor, stack: Stack, report: Report) -> dict[str, tuple[int, ...]]:
    """The status with which each URL of the stack's outputs answers, by service: without a password, and then with the
    login that the outputs name for it, if any.
    """
    outputs = stack.outputs(report, show_secrets=True)
    found = {}
    for service, url in outputs["urls"].items():
        answers = [once_certified(partial(visitor.page, url))]
        if login := outputs["logins"].get(service):
            password = outputs["passwords"][login["secret"]]
            answers.append(visitor.page(url, auth=(login["user"], password)))
        found[service] = tuple(answer.status_code for answer in answers)
    return found


def once_certified(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """The answer, once the edge has its certificate, for which a minute is allowed."""
    deadline = time.monotonic() + 60 * SLOWNESS
    while True:
        try:
            return ask()
        except httpx.ConnectError as error:
            assert time.monotonic() < deadline, error
            time.sleep(0.3)


def execute(visitors: Sequence[Visitor], code: str, environment: str = "bash") -> list[str]:
    """Run a program for each visitor. Returns its output, or the refusal."""
    program = {"environment": environment, "code": code, "timeout": FLOOR.timeout_seconds}
    asks = [partial(visitor.ask, "POST", f"https://{API}/execute", json=program) for visitor in visitors]
    answers = [once_certified(ask).json() for ask in asks]
    return [str(answer.get("output", answer)) for answer in answers]


def advertise(router: Namespace, address: str, seconds: int) -> None:
    """Send a router advertisement with this lifetime (RFC 4861: type 134, no hop limit, flags or timers)."""
    with router.entered(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sending:
        sending.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, 255)
        sending.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 0, 0, seconds, 0, 0), (f"{address}%eth0", 0))


def connect(host: str, port: int) -> str:
    """A shell command that succeeds where it can connect."""
    return f"timeout {2 * SLOWNESS:g} bash -c '</dev/tcp/{host}/{port}'"


def listen(at: Namespace, address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with at.entered():
        return socket.create_server((address, port), family=family)


def networks_of_the_edge(vps: Vps, stack: Stack) -> dict[str, dict[str, Any]]:
    """Docker's description of each network of the edge's container, by name."""
    told = vps.shell(f"docker inspect -f '{{{{json .NetworkSettings.Networks}}}}' {stack.prefix}-traefik")
    return cast("dict[str, dict[str, Any]]", json.loads(told))


def addresses_in(networks: Iterable[Mapping[str, Any]]) -> list[str]:
    both = [network[key] for network in networks for key in ("IPAddress", "GlobalIPv6Address")]
    return [address for address in both if address]


def seen_by_the_edge(visitor: Visitor, host: str, claim: str, stack: Stack, vps: Vps) -> tuple[str, str]:
    """The address that a request with this X-Forwarded-For came from, and the client's address in the edge's log."""
    path = f"/{secrets.token_hex(4)}"
    visitor.ask("GET", f"https://{host}{path}", headers={"x-forwarded-for": claim})
    line = until(
        lambda: vps.shell(f"docker logs --tail 20 {stack.prefix}-traefik 2>&1 | grep {path}", check=False),
        10,
        "the request in the edge's log",
    )
    told = json.loads(line)
    return str(urlsplit(f"//{told['ClientAddr']}").hostname), told["ClientHost"]


@contextlib.contextmanager
def without_rules(vps: Vps) -> Iterator[None]:
    rules = vps.shell("nft delete table inet vps && cat /etc/vps/firewall.nft")
    try:
        yield
    finally:
        vps.shell(f"nft -f - <<'END'\n{rules}END")


def changed(stack: Stack, **host: Any) -> dict[str, Any]:
    """The stack's overrides, with these sections of `host` merged into them."""
    of_host = dict(stack.overrides["host"])
    for part, values in host.items():
        of_host[part] = {**of_host[part], **values}
    return {**stack.overrides, "host": of_host}


def other_key(vps: Vps) -> str:
    kind, key, *_ = vps.public_key.split()
    return f"{kind} {key}"


def units_that_failed(vps: Vps) -> str:
    """systemd's list of them, once it has started all."""
    return vps.shell("systemctl is-system-running --wait >/dev/null; systemctl --failed --no-legend --plain")


def seconds_from_boot(vps: Vps, unit: str) -> float:
    """When systemd has started the unit; 0: not yet."""
    return int(vps.shell(f"systemctl show --value --property ActiveEnterTimestampMonotonic {unit}")) / 1e6


def healthy(vps: Vps, stack: Stack) -> set[str]:
    """The services, once all are healthy."""

    def found() -> set[str]:
        states = health.services(vps.engine.client(), stack.prefix)
        return {state.service for state in states if all(each.is_well for each in states)}

    return until(found, health.SECONDS_TO_BE_HEALTHY, "healthy services")


def containers(vps: Vps, stack: Stack) -> int:
    return len(vps.shell(f"docker ps -aq --filter label=vps.stack={stack.prefix} 2>/dev/null", check=False).split())
