"""The store that units share, as the program declares it: what it holds, what it refuses, and what a restart leaves."""

from collections.abc import Iterator

import pytest
import valkey

from app.api.shared_store import STORE_SECONDS
from infra.settings import STACKS_STORE, VALKEY
from tests.declared import DeclaredServices
from tests.waiting import until
from tools.machine.preparation import Preparation


@pytest.fixture(scope="module", params=[False, True], ids=["in memory", "kept"])
def services(request: pytest.FixtureRequest, prepared: Preparation) -> Iterator[DeclaredServices]:
    found = DeclaredServices(prepared, sandbox={"rate_store": STACKS_STORE, "keep_counts": request.param})
    try:
        found.start(VALKEY)
        yield found
    finally:
        found.remove()


def store(services: DeclaredServices) -> valkey.Valkey:
    """A client of the store, which is healthy."""
    container = f"{services.prefix}-{VALKEY}"
    until(lambda: services.client.containers.get(container).health == "healthy", 60, "the store to be healthy")
    return valkey.Valkey(services.address(VALKEY), socket_timeout=STORE_SECONDS)


def test_what_it_holds_after_a_restart_is_the_operators_choice(services: DeclaredServices) -> None:
    kept = services.inputs(VALKEY)["command"][-3] == "yes"
    store(services).set("counted", 3)
    services.client.containers.get(f"{services.prefix}-{VALKEY}").restart(timeout=10)
    assert store(services).get("counted") == (b"3" if kept else None)


def test_a_full_store_refuses_and_keeps_what_it_counts(services: DeclaredServices) -> None:
    own = store(services)
    own.set("counted", 3)
    with pytest.raises(valkey.exceptions.OutOfMemoryError):
        for number in range(100):
            own.set(f"filling-{number}", b"x" * 1024**2, ex=300)
    assert own.get("counted") == b"3"
    container = services.client.containers.get(f"{services.prefix}-{VALKEY}")
    assert (container.health, container.attrs["RestartCount"]) == ("healthy", 0)
    own.flushall()
