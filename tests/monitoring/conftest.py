import pytest

from tests.monitoring.promtool import Promtool
from tools.machine.preparation import Preparation


@pytest.fixture(scope="session")
def promtool(prepared: Preparation) -> Promtool:
    return Promtool(prepared.engine.client(), prepared.images.references["prometheus"])


@pytest.fixture(scope="session")
def amtool(prepared: Preparation) -> Promtool:
    return Promtool(prepared.engine.client(), prepared.images.references["alertmanager"], program="amtool")
