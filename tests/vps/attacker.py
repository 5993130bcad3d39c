"""What an attacker from the internet finds open on the VPS."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from tests.vps.conftest import Internet
from tests.vps.visits import all_open_ports

# sshd, the edge, Docker's API, the ports inside the edge's container, and one on which nothing listens.
PORTS = (22, 80, 443, 2375, 2376, 8080, 9000)
# The open ports that the attacker may find, by address of the VPS: none.
NOTHING: dict[str, set[int]] = {"198.51.100.10": set(), "2001:db8:1::10": set()}


def attacker_reaches(internet: Internet, seconds: float = 1) -> dict[str, set[int]]:
    """The open ports that the attacker finds, by address."""
    return all_open_ports(internet.attacker, internet.vps.addresses, PORTS, seconds)


@contextlib.contextmanager
def attack(internet: Internet, scans: int) -> Iterator[Callable[[], bool]]:
    """The attacker scans all the time, at least so often, and finds nothing. Yields whether more scans are to come."""
    found: list[dict[str, set[int]]] = []
    stop = threading.Event()

    def scan() -> None:
        while not stop.is_set():
            found.append(attacker_reaches(internet, 0.05))

    scanner = threading.Thread(target=scan)
    scanner.start()
    try:
        yield lambda: scanner.is_alive() and len(found) < scans
    finally:
        stop.set()
        scanner.join()
    assert len(found) >= scans
    assert all(each == NOTHING for each in found)
